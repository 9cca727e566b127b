package devenv

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// manifest is what is read of a package.json.
type manifest struct {
	PackageManager  string            `json:"packageManager"`
	Scripts         map[string]string `json:"scripts"`
	Dependencies    map[string]any    `json:"dependencies"`
	DevDependencies map[string]any    `json:"devDependencies"`
}

func (m manifest) uses(name string) bool {
	_, direct := m.Dependencies[name]
	_, dev := m.DevDependencies[name]
	return direct || dev
}

func (t tree) manifest() (m manifest, ok bool) {
	return m, json.Unmarshal([]byte(t.text("package.json")), &m) == nil
}

// packageManager is who runs the scripts of a package.json, and why.
func (t tree) packageManager(m manifest) (name, why string) {
	name, _, _ = strings.Cut(m.PackageManager, "@")
	switch name {
	case "npm", "pnpm", "yarn", "bun":
		return name, `"packageManager" of package.json`
	}
	for _, lock := range [][2]string{
		{"bun.lock", "bun"}, {"bun.lockb", "bun"}, {"pnpm-lock.yaml", "pnpm"}, {"yarn.lock", "yarn"}, {"package-lock.json", "npm"}, {"npm-shrinkwrap.json", "npm"},
	} {
		if t.has(lock[0]) {
			return lock[1], lock[0]
		}
	}
	return "npm", "no lock file"
}

// nodeAlone finds scripts that only call node, without what a shell would do.
var nodeAlone = regexp.MustCompile(`^node( [\w./=:@,+-]+)+$`)

// command runs a script: by the package manager, but for one that only calls
// node and has none before or after it. npm is 350 of Debian's packages.
func (m manifest) command(script string, manager ...string) []string {
	line := strings.TrimSpace(m.Scripts[script])
	if nodeAlone.MatchString(line) && m.Scripts["pre"+script]+m.Scripts["post"+script] == "" {
		return strings.Fields(line)
	}
	return append(manager, script)
}

// frameworks are the ports that development servers listen on, by the package
// that brings them. All of them notice changes.
func frameworks() []struct {
	name string
	port int
} {
	return []struct {
		name string
		port int
	}{
		{"next", 3000}, {"nuxt", 3000}, {"astro", 4321}, {"@angular/cli", 4200}, {"gatsby", 8000}, {"react-scripts", 3000}, {"@vue/cli-service", 8080},
		{"@11ty/eleventy", 8080}, {"@remix-run/dev", 3000}, {"parcel", 1234}, {"vite", 5173}, {"webpack-dev-server", 8080},
	}
}

// polling has file watchers of Node look at the files again and again: they
// hear of no change that the host makes in a share.
func polling() []string {
	return []string{"CHOKIDAR_USEPOLLING=1", "WATCHPACK_POLLING=true"}
}

func nodeServer(t tree) (Server, bool) {
	m, ok := t.manifest()
	if !ok {
		return Server{}, false
	}
	for _, script := range []string{"dev", "serve", "start"} {
		line := m.Scripts[script]
		if line == "" {
			continue
		}
		manager, by := t.packageManager(m)
		s := Server{
			Kind: "node", Command: m.command(script, manager, "run"), Port: 3000, Env: polling(),
			Reloads: regexp.MustCompile(`nodemon|--watch\b|\bwatch\b|ts-node-dev`).MatchString(line),
		}
		known := ""
		for _, f := range frameworks() {
			if m.uses(f.name) && script != "start" || strings.Contains(line, strings.TrimPrefix(f.name, "@")+" dev") {
				s.Port, s.Reloads, known = f.port, true, f.name
				break
			}
		}
		s.Why = `script "` + script + `" of package.json`
		if s.Command[0] == manager {
			s.Why += "; " + manager + " by " + by
		}
		if m := regexp.MustCompile(`(?:--port[= ]|-p |\bPORT=)(\d{2,5})\b`).FindStringSubmatch(line); m != nil {
			s.Port, _ = strconv.Atoi(m[1])
			s.Why += "; port " + m[1] + " stands in the script"
		} else if known != "" {
			s.Why += "; port of " + known
		} else {
			s.Why += "; its port is a guess"
		}
		return s, true
	}
	return Server{}, false
}

func nodeTests(t tree) (Tester, bool) {
	m, ok := t.manifest()
	line := m.Scripts["test"]
	if !ok || line == "" || strings.Contains(line, "no test specified") {
		return Tester{}, false
	}
	manager, by := t.packageManager(m)
	words := []string{manager}
	if manager == "bun" { // whose own test runner is something else
		words = []string{"bun", "run"}
	}
	tester := Tester{Name: manager, Command: m.command("test", words...), Why: `script "test" of package.json`}
	if tester.Command[0] == manager {
		tester.Why += "; " + manager + " by " + by
	}
	if strings.Contains(line, "vitest") {
		tester.Report = Report{Format: "junit", Args: []string{"--reporter=default", "--reporter=junit", "--outputFile=" + ReportPath}}
		if tester.Command[0] == "npm" {
			tester.Report.Args = append([]string{"--"}, tester.Report.Args...)
		}
	}
	return tester, true
}
