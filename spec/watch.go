package spec

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/zclconf/go-cty/cty"
)

// What a Watch does.
const (
	WatchSync    = "sync"    // copies what changed into the guest
	WatchRestart = "restart" // stops the VM and starts it
	WatchRebuild = "rebuild" // makes the VM anew, as --replace does
	WatchExec    = "exec"    // runs a command in the guest
)

// Watch says what lkup watch does when files of the project change.
type Watch struct {
	Paths   []string `json:"paths"`            // globs relative to the project, "**" included; a directory stands for all below it
	Ignore  []string `json:"ignore,omitempty"` // as the lines of a .gitignore file at the root of the project
	Action  string   `json:"action"`
	Target  string   `json:"target,omitempty"`  // of sync: the guest's directory
	Command []string `json:"command,omitempty"` // of exec
}

// String is the block on one line.
func (w Watch) String() string {
	text := w.Action + " on " + strings.Join(w.Paths, ", ")
	if len(w.Ignore) > 0 {
		text += " but " + strings.Join(w.Ignore, ", ")
	}
	if w.Target != "" {
		text += " to " + w.Target
	}
	if len(w.Command) > 0 {
		text += ": " + strings.Join(w.Command, " ")
	}
	return text
}

// Equal reports whether two watch blocks say the same.
func (w Watch) Equal(o Watch) bool {
	return w.Action == o.Action && w.Target == o.Target &&
		slices.Equal(w.Paths, o.Paths) && slices.Equal(w.Ignore, o.Ignore) && slices.Equal(w.Command, o.Command)
}

func compareWatches(a, b Watch) int {
	return cmp.Or(strings.Compare(a.Action, b.Action), strings.Compare(a.Target, b.Target), slices.Compare(a.Paths, b.Paths),
		slices.Compare(a.Ignore, b.Ignore), slices.Compare(a.Command, b.Command))
}

// watch reads one watch block. All of it is part of what the VM is, since
// watching begins before anything is chosen.
func (i *instance) watch(b *block) {
	i.origin("watch", b.at)
	w := Watch{Paths: i.words(b, "paths", "watch"), Ignore: i.words(b, "ignore", "watch"), Command: i.words(b, "command", "watch")}
	if v, ok := i.known(b, "action", "watch", cty.String); ok {
		w.Action = v.AsString()
	}
	if v, ok := i.known(b, "target", "watch", cty.String); ok {
		w.Target = v.AsString()
	}
	i.checkWatchPaths(b, w.Paths)
	i.checkWatchAction(b, w)
	i.vm.Watch = append(i.vm.Watch, w)
}

func (i *instance) checkWatchPaths(b *block, paths []string) {
	arg := b.args["paths"]
	if arg != nil && paths != nil && len(paths) == 0 {
		i.wrong(b, "paths", "Invalid paths", "It is empty, so nothing is watched. Write, for example: paths = [\"site/**\"]")
	}
	for _, p := range paths {
		if detail := badWatchPath(p); detail != "" {
			i.wrong(b, "paths", "Invalid paths", "%s", detail)
		}
	}
}

func badWatchPath(p string) string {
	switch {
	case p == "" || strings.HasPrefix(p, "/") || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../"):
		return strconv.Quote(p) + ` is no path in the project. Write it relative to the project and without detours, such as "site/**".`
	case !doublestar.ValidatePattern(p):
		return strconv.Quote(p) + ` is no pattern. "*" stands for any name, "**" for any directories, {a,b} for a or b. Write, for example: paths = ["src/**/*.go"]`
	}
	return ""
}

// checkWatchAction finds arguments that the action lacks, or does not take.
func (i *instance) checkWatchAction(b *block, w Watch) {
	actions := []string{WatchSync, WatchRestart, WatchRebuild, WatchExec}
	if w.Action == "" && i.failed {
		return // reported
	}
	if !slices.Contains(actions, w.Action) {
		i.wrong(b, "action", "Unknown action", "There is no action %q.%s Write sync, restart, rebuild or exec.", w.Action, didYouMean("", w.Action, actions))
		return
	}
	switch {
	case w.Action != WatchSync && w.Target != "":
		i.wrong(b, "target", "Target without sync", "Only sync takes a target. Take it out, or write: action = \"sync\"")
	case w.Action == WatchSync && b.args["target"] == nil:
		i.wrong(b, "action", "Missing target", "sync copies into a directory of the guest. Write, for example: target = \"/srv/www\"")
	case w.Action == WatchSync:
		if detail := badTarget(w.Target); detail != "" {
			i.wrong(b, "target", "Invalid path", "%s", detail)
		}
	}
	switch {
	case w.Action != WatchExec && len(w.Command) > 0:
		i.wrong(b, "command", "Command without exec", "Only exec takes a command. Take it out, or write: action = \"exec\"")
	case w.Action == WatchExec && len(w.Command) == 0 && (b.args["command"] == nil || !i.failed):
		i.wrong(b, "action", "Missing command", "exec runs a command in the guest. Write, for example: command = [\"nginx\", \"-s\", \"reload\"]")
	}
}

func badTarget(p string) string {
	clean := path.Clean("/" + p)
	if clean == p && p != "/" && !strings.ContainsFunc(p, func(r rune) bool { return r < ' ' }) {
		return ""
	}
	if clean == "/" {
		clean = "/srv/www"
	}
	return `A target is a directory of the guest, absolute and without detours. Write: target = ` + strconv.Quote(clean)
}

// words reads a list of texts.
func (i *instance) words(b *block, name, path string) []string {
	v, ok := i.known(b, name, path, cty.DynamicPseudoType)
	if !ok {
		return nil
	}
	if v.Type() == cty.String {
		i.wrong(b, name, "Wrong type", "It is a list of texts. Write: %s = [%q]", name, v.AsString())
		return nil
	}
	v, ok = i.convert(b.args[name], v, cty.List(cty.String), i.ctx)
	if !ok {
		i.failed = true
		return nil
	}
	all := []string{}
	for _, word := range v.AsValueSlice() {
		if word.IsNull() {
			i.wrong(b, name, "Null in a list", "One of its elements is null. Write each as a text.")
			return nil
		}
		all = append(all, word.AsString())
	}
	return all
}
