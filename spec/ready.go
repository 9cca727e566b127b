package spec

import (
	"net/url"
	"regexp"

	"github.com/zclconf/go-cty/cty"
)

// ready reads the ready block.
func (i *instance) ready(b *block) {
	r := &i.vm.Ready
	i.origin("ready", b.at)
	if n, state := i.whole(b, "tcp", "ready.tcp", 1, mostPort, 80); state == present {
		r.TCP = n
	}
	if text, state := i.text(b, "http", "ready.http"); state == present {
		r.HTTP = text
		if u, err := url.Parse(text); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			i.wrong(b, "http", "Invalid URL", "It is a URL as seen inside the guest. Write, for example: http = \"http://localhost:80/\"")
		}
	}
	i.readyExec(b)
	if text, state := i.text(b, "log", "ready.log"); state == present {
		r.Log = text
		if _, err := regexp.Compile(text); err != nil {
			i.wrong(b, "log", "Invalid pattern", "%s. Write an RE2 regular expression that a console line matches, such as \"login:\".", sentenceStart(err.Error()))
		}
	}
	if v, state := i.get(b, "ssh", "ready.ssh", cty.Bool); state == present {
		r.SSH = v.True()
	}
	i.readyTimeout(b)
}

func (i *instance) readyExec(b *block) {
	arg := b.args["exec"]
	v, state := i.raw(b, "exec", "ready.exec")
	if state != present {
		return
	}
	if v.Type() == cty.String {
		i.wrong(b, "exec", "Wrong type", "A command is a list of words, since no shell splits it. Write: exec = [\"sh\", \"-c\", %q]", v.AsString())
		return
	}
	v, ok := i.convert(arg, v, cty.List(cty.String), i.ctx)
	if !ok {
		i.failed = true
		return
	}
	for _, word := range v.AsValueSlice() {
		if word.IsNull() {
			i.wrong(b, "exec", "Invalid command", "One of its words is null. Write each as a string.")
			return
		}
		i.vm.Ready.Exec = append(i.vm.Ready.Exec, word.AsString())
	}
}

func (i *instance) readyTimeout(b *block) {
	v, state := i.raw(b, "timeout", "ready.timeout")
	if state != absent {
		i.vm.Ready.Timeout = 0
	}
	if state != present {
		return
	}
	if v.Type() == cty.Number {
		i.wrong(b, "timeout", "Duration without a unit", "A duration is a text with a unit. Write: timeout = \"%ss\"", v.AsBigFloat().Text('f', -1))
		return
	}
	text, ok := i.convert(b.args["timeout"], v, cty.String, i.ctx)
	if !ok {
		i.failed = true
		return
	}
	d, problem := parseDuration(text.AsString())
	if problem != "" {
		i.wrong(b, "timeout", "Invalid duration", "%s", problem)
	}
	i.vm.Ready.Timeout = d
}
