package devenv

import (
	"encoding/json"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

func laravel(t tree) (Server, bool) {
	return Server{
		Kind: "laravel", Command: []string{"php", "artisan", "serve", "--host=127.0.0.1", "--port=8000"}, Port: 8000, Reloads: true, Why: "artisan, which is Laravel's",
	}, t.has("artisan") && contains(t.text("composer.json"), "laravel/framework")
}

// phpServer serves what PHP's own server can: it reads the files anew for each
// request.
func phpServer(t tree) (Server, bool) {
	index := t.first("public/index.php", "web/index.php", "index.php")
	if index == "" {
		return Server{}, false
	}
	command := []string{"php", "-S", "127.0.0.1:8000"}
	if dir, _, inside := strings.Cut(index, "/"); inside {
		command = append(command, "-t", dir)
	}
	return Server{Kind: "php", Command: command, Port: 8000, Reloads: true, Why: index}, true
}

func rails(t tree) (Server, bool) {
	return Server{
		Kind: "rails", Command: []string{"bundle", "exec", "rails", "server", "-b", "127.0.0.1", "-p", "3000"}, Port: 3000, Reloads: true,
		Why: "rails in the Gemfile, and config/application.rb",
	}, contains(t.text("Gemfile"), "rails") && t.has("config/application.rb")
}

func rack(t tree) (Server, bool) {
	return Server{
		Kind: "rack", Command: t.bundled("rackup", "-o", "127.0.0.1", "-p", "9292"), Port: 9292, Why: "config.ru",
	}, t.has("config.ru")
}

// bundled is a command of Ruby's, by what the Gemfile names, if there is one.
func (t tree) bundled(command ...string) []string {
	if t.has("Gemfile") {
		return append([]string{"bundle", "exec"}, command...)
	}
	return command
}

// rustPort finds the port of "127.0.0.1:8080" and ([127, 0, 0, 1], 8080).
const rustPort = `(?:"[\d.:\[\]a-z]*:|\]\s*,\s*)(\d{4,5})\b`

func rustServer(t tree) (Server, bool) {
	if !t.has("Cargo.toml") || !t.has("src/main.rs") {
		return Server{}, false
	}
	port, where := t.portIn([]string{"src/main.rs"}, rustPort, 8080)
	return Server{Kind: "rust", Command: []string{"cargo", "run"}, Port: port, Why: said("Cargo.toml and src/main.rs", port, where)}, true
}

func static(t tree) (Server, bool) {
	index := t.first("index.html", "public/index.html", "dist/index.html", "site/index.html", "docs/index.html")
	if index == "" {
		return Server{}, false
	}
	command := []string{"python3", "-m", "http.server", "--bind", "127.0.0.1", "8000"}
	if dir, _, inside := strings.Cut(index, "/"); inside {
		command = append(command, "--directory", dir)
	}
	return Server{Kind: "static", Command: command, Port: 8000, Reloads: true, Env: []string{"PYTHONUNBUFFERED=1"}, Why: index}, true
}

func phpTests(t tree) (Tester, bool) {
	var composer struct {
		Scripts map[string]any `json:"scripts"`
	}
	_ = json.Unmarshal([]byte(t.text("composer.json")), &composer) // one that cannot be read has no scripts
	report := Report{Format: "junit", Args: []string{"--log-junit", ReportPath}}
	config := t.first("phpunit.xml", "phpunit.xml.dist")
	switch _, script := composer.Scripts["test"]; {
	case script:
		return Tester{Name: "composer", Command: []string{"composer", "test"}, Why: `script "test" of composer.json`}, true
	case t.has("artisan") && config != "":
		return Tester{Name: "laravel", Command: []string{"php", "artisan", "test"}, Why: "artisan and " + config, Report: report}, true
	}
	program := "phpunit"
	if t.has("composer.json") {
		program = "vendor/bin/phpunit"
	}
	return Tester{Name: "phpunit", Command: []string{program}, Why: config, Report: report}, config != ""
}

func rustTests(t tree) (Tester, bool) {
	return Tester{Name: "cargo", Command: []string{"cargo", "test"}, Why: "Cargo.toml"}, t.has("Cargo.toml")
}

func rubyTests(t tree) (Tester, bool) {
	if why := t.first(".rspec", "spec/spec_helper.rb"); why != "" {
		return Tester{
			Name: "rspec", Command: t.bundled("rspec"), Why: why,
			Report: Report{Format: "json", Args: []string{"--format", "progress", "--format", "json", "--out", ReportPath}},
		}, true
	}
	_, isRails := rails(t)
	return Tester{Name: "rails", Command: []string{"bundle", "exec", "rails", "test"}, Why: "a Rails project with test"}, isRails && t.has("test")
}

func taskTests(t tree) (Tester, bool) {
	file := t.first("Taskfile.yml", "Taskfile.yaml", "taskfile.yml", "Taskfile.dist.yml")
	var tasks struct {
		Tasks map[string]any `yaml:"tasks"`
	}
	if file == "" || yaml.Unmarshal([]byte(t.text(file)), &tasks) != nil {
		return Tester{}, false
	}
	_, ok := tasks.Tasks["test"]
	return Tester{Name: "task", Command: []string{"task", "test"}, Why: `task "test" of ` + file}, ok
}

func makeTests(t tree) (Tester, bool) {
	file := t.first("GNUmakefile", "Makefile", "makefile")
	return Tester{Name: "make", Command: []string{"make", "test"}, Why: `target "test" of ` + file},
		file != "" && regexp.MustCompile(`(?m)^test\s*:([^=]|$)`).MatchString(t.text(file))
}
