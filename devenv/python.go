package devenv

import (
	"path"
	"regexp"
	"strings"
)

// pythonNeeds is the text in which a Python project names what it needs.
func (t tree) pythonNeeds() string {
	var b strings.Builder
	for _, name := range append(t.files(".", "requirements*.txt"), "pyproject.toml", "Pipfile", "setup.cfg", "setup.py") {
		b.WriteString(t.text(name) + "\n")
	}
	return b.String()
}

// entryFiles are where Python programs usually begin.
func entryFiles() []string {
	return []string{"app.py", "main.py", "server.py", "wsgi.py", "asgi.py", "app/main.py", "app/__init__.py", "src/app.py", "src/main.py", "api/main.py"}
}

func django(t tree) (Server, bool) {
	return Server{
		Kind: "django", Command: []string{"python3", "manage.py", "runserver", "127.0.0.1:8000"}, Port: 8000, Reloads: true,
		Env: []string{"PYTHONUNBUFFERED=1"}, Why: "manage.py, which is Django's",
	}, strings.Contains(t.text("manage.py"), "django")
}

// pythonApp finds the file and the variable that hold an application.
func (t tree) pythonApp(class string) (file, module, variable string) {
	form := regexp.MustCompile(`(?m)^(\w+)\s*(?::\s*[\w.]+\s*)?=\s*(?:\w+\.)?` + class + `\(`)
	for _, name := range entryFiles() {
		if m := form.FindStringSubmatch(t.text(name)); m != nil {
			module := strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(name, ".py"), "/__init__"), "/", ".")
			return name, module, m[1]
		}
	}
	return "", "", ""
}

func fastAPI(t tree) (Server, bool) {
	file, module, variable := t.pythonApp("FastAPI")
	return Server{
		Kind: "fastapi", Command: []string{"python3", "-m", "uvicorn", module + ":" + variable, "--reload", "--host", "127.0.0.1", "--port", "8000"},
		Port: 8000, Reloads: true, Env: []string{"PYTHONUNBUFFERED=1", "WATCHFILES_FORCE_POLLING=1"}, Why: variable + " = FastAPI(...) in " + file,
	}, file != ""
}

func flask(t tree) (Server, bool) {
	file, module, variable := t.pythonApp("Flask")
	if file == "" { // or a function that makes one
		for _, name := range entryFiles() {
			if text := t.text(name); strings.Contains(text, "def create_app(") && contains(text, "Flask") {
				file, module = name, strings.ReplaceAll(strings.TrimSuffix(strings.TrimSuffix(name, ".py"), "/__init__"), "/", ".")
			}
		}
		return flaskServer(module, "create_app() in "+file), file != ""
	}
	return flaskServer(module, variable+" = Flask(...) in "+file), true
}

func flaskServer(module, why string) Server {
	return Server{
		Kind: "flask", Command: []string{"python3", "-m", "flask", "--app", module, "run", "--debug", "--host", "127.0.0.1", "--port", "5000"},
		Port: 5000, Reloads: true, Env: []string{"PYTHONUNBUFFERED=1"}, Why: why,
	}
}

// pythonPort finds the port in app.run(port=8000), ("", 8000) and "PORT", 8000.
const pythonPort = `(?:port\s*=\s*|\(\s*["'][\d.a-z]*["']\s*,\s*|["']PORT["']\s*,\s*["']?)(\d{4,5})\b`

// pythonServer is a program of which nothing else is known.
func pythonServer(t tree) (Server, bool) {
	file := t.first("app.py", "main.py", "server.py")
	if file == "" || !regexp.MustCompile(`http\.server|socketserver|asyncio\.start_server|aiohttp|tornado|bottle|sanic|\.run\(|\.bind\(|serve_forever`).MatchString(t.text(file)) {
		return Server{}, false
	}
	port, where := t.portIn([]string{file}, pythonPort, 8000)
	return Server{
		Kind: "python", Command: []string{"python3", file}, Port: port, Env: []string{"PYTHONUNBUFFERED=1"}, Why: said(file+" serves", port, where),
	}, true
}

func pythonTests(t tree) (Tester, bool) {
	files := append(t.files(".", "test_*.py"), t.files(".", "*_test.py")...)
	for _, dir := range []string{"tests", "test"} {
		files = append(files, append(t.files(dir, "test*.py"), t.files(dir, "*_test.py")...)...)
	}
	if config := t.first("pytest.ini", "conftest.py", "tests/conftest.py"); config != "" {
		return pytest(config), true
	}
	if contains(t.pythonNeeds(), "pytest") {
		return pytest("pytest in what the project needs"), true
	}
	for _, name := range files {
		if regexp.MustCompile(`(?m)^\s*(import pytest|from pytest)\b`).MatchString(t.text(name)) {
			return pytest(name + " imports pytest"), true
		}
	}
	if strings.Contains(t.text("manage.py"), "django") {
		return Tester{Name: "django", Command: []string{"python3", "manage.py", "test"}, Why: "manage.py, which is Django's"}, true
	}
	if len(files) == 0 {
		return Tester{}, false
	}
	command := []string{"python3", "-m", "unittest", "discover"}
	if dir := path.Dir(files[0]); dir != "." {
		command = append(command, "-t", ".", "-s", dir)
	}
	if strings.HasSuffix(files[0], "_test.py") {
		command = append(command, "-p", "*_test.py")
	}
	return Tester{Name: "unittest", Command: command, Why: files[0] + ", and nothing names pytest"}, true
}

func pytest(why string) Tester {
	return Tester{
		Name: "pytest", Command: []string{"python3", "-m", "pytest"}, Why: why,
		Report: Report{Format: "junit", Args: []string{"--junitxml=" + ReportPath}},
	}
}
