package apt

import (
	"path"
	"regexp"
)

// What the scripts of PHP's packages make: php itself, and links by which it
// loads the modules that are installed.
var (
	phpInterface = regexp.MustCompile(`^php(\d+\.\d+)-(cgi|cli|fpm)$`)
	phpPackage   = regexp.MustCompile(`^php\d+\.\d+-`)
	phpProgram   = regexp.MustCompile(`^usr/bin/(php|phar)(\d+\.\d+)$`)
	phpSettings  = regexp.MustCompile(`^usr/lib/php/(\d+\.\d+)/php\.ini-production\.cli$`)
	phpModule    = regexp.MustCompile(`^usr/share/php(\d+\.\d+)-[^/]+/[^/]+/([^/]+\.ini)$`)
	phpPriority  = regexp.MustCompile(`(?m)^; *priority=(\d+)`)
)

// phpPriorityDefault is phpenmod's, of a module whose settings name none.
const phpPriorityDefault = "20"

// phpFile is where the scripts put a packaged file of settings.
func phpFile(name string) (at string, known bool) {
	if m := phpSettings.FindStringSubmatch(name); m != nil {
		return path.Join("etc/php", m[1], "cli/php.ini"), true
	}
	m := phpModule.FindStringSubmatch(name)
	if m == nil {
		return "", false
	}
	return path.Join("etc/php", m[1], "mods-available", m[2]), true
}

// phpLinks makes the links of PHP, once its files are known.
func (m made) phpLinks(packages []Package, present map[string]bool) {
	for name := range present {
		if program := phpProgram.FindStringSubmatch(name); program != nil {
			m.links["usr/bin/"+program[1]] = path.Base(name)
		}
	}
	for _, p := range packages {
		kind := phpInterface.FindStringSubmatch(p.Name)
		if kind == nil {
			continue
		}
		home := path.Join("etc/php", kind[1])
		for name, settings := range m.files {
			if path.Dir(name) != home+"/mods-available" {
				continue
			}
			priority := phpPriorityDefault
			if said := phpPriority.FindSubmatch(settings); said != nil {
				priority = string(said[1])
			}
			m.links[path.Join(home, kind[2], "conf.d", priority+"-"+path.Base(name))] = "/" + name
		}
	}
}
