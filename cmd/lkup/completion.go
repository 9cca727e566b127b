package main

import (
	"fmt"

	"github.com/alecthomas/kong"
	"github.com/posener/complete"
	"github.com/willabides/kongplete"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// The scripts make the shell ask lkup itself, which sees COMP_LINE.
var completionScripts = map[string]string{
	"bash": "complete -C lkup lkup\n",
	"zsh":  "autoload -U +X bashcompinit && bashcompinit\ncomplete -C lkup lkup\n",
	"fish": `function __complete_lkup
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    lkup
end
complete -f -c lkup -a "(__complete_lkup)"
`,
}

// Run prints what goes into the shell's start file.
func (c *completionCmd) Run(call *call) error {
	_, err := fmt.Fprint(call.Out, completionScripts[c.Shell])
	return err
}

// answerShell completes the line that a shell asks about. It does nothing, and
// says so, when no shell asks.
func answerShell(parser *kong.Kong, host Host) bool {
	if host.Getenv("COMP_LINE") == "" {
		return false
	}
	kongplete.Complete(parser,
		kongplete.WithPredictor("vm", complete.PredictFunc(func(complete.Args) []string { return machineNames(host) })),
		kongplete.WithPredictor("file", complete.PredictFiles("*")),
		kongplete.WithPredictor("dir", complete.PredictDirs("*")),
		kongplete.WithExitFunc(func(int) {}),
	)
	return true
}

// machineNames are the hostnames of the machines of the current directory.
func machineNames(host Host) []string {
	_, known, err := applied(host, dirFlag{Dir: "."})
	if err != nil {
		return nil
	}
	var names []string
	for _, address := range sortedKeys(known.Instances) {
		names = append(names, known.Instances[address].Applied.Name)
	}
	return names
}
