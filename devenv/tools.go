package devenv

import "strings"

// Tool is something that a command cannot do without: a program, or a module of
// Python's.
type Tool struct {
	Name     string
	Packages []string // Debian's, that bring it; empty if none of them does
	module   bool
}

// There is a command that succeeds if a guest has the tool, in a directory that
// the command is run in.
func (t Tool) There() []string {
	if t.module {
		return []string{"python3", "-c", "import importlib.util, sys; sys.exit(not importlib.util.find_spec(sys.argv[1]))", t.Name}
	}
	return []string{"sh", "-c", `command -v "$1"`, "lkup", t.Name}
}

// Tools are those that a command begins with. What it calls then is its own
// affair, and its own to complain of.
func Tools(command []string) []Tool {
	if len(command) == 0 {
		return nil
	}
	all := []Tool{{Name: command[0], Packages: packagesOf(command[0])}}
	if len(command) > 2 && command[0] == "python3" && command[1] == "-m" {
		module, _, _ := strings.Cut(command[2], ".")
		all = append(all, Tool{Name: module, Packages: packagesOfModule(module), module: true})
	}
	return all
}

// packagesOf are the packages of Debian's that bring a program, by the names
// that they have there since Debian 12 and Ubuntu 22.04.
func packagesOf(program string) []string {
	switch program {
	case "bundle":
		return []string{"ruby-bundler", "ruby-dev"}
	case "cargo", "composer", "make", "nodejs", "npm", "phpunit", "python3", "ruby":
		return []string{program}
	case "go":
		return []string{"golang-go"}
	case "node":
		return []string{"nodejs"}
	case "php":
		return []string{"php-cli"}
	case "rackup":
		return []string{"ruby-rack", "ruby-webrick"}
	case "rspec":
		return []string{"ruby-rspec"}
	}
	return nil
}

func packagesOfModule(module string) []string {
	switch module {
	case "flask", "pytest", "uvicorn":
		return []string{"python3-" + module}
	}
	return nil // http.server and unittest are Python's own
}
