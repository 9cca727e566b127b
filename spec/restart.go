package spec

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// What a Restart does. The words are Compose's.
const (
	RestartOnFailure = "on-failure"
	RestartAlways    = "always"
)

// defaultRestarts is how many restarts in a row are tried if no number is
// written: what fails so often needs a person.
const defaultRestarts = 5

// defaultStopGracePeriod is how long a guest has to power off by itself if its
// stack file does not say.
const defaultStopGracePeriod = 20 * time.Second

// Grace is how long the guest has to power off by itself.
func (v VM) Grace() time.Duration { return cmp.Or(v.StopGracePeriod, defaultStopGracePeriod) }

// mostRestarts bounds the number that can be written.
const mostRestarts = 1000

// Restart says what becomes of a VM that ended though it should run. The zero
// value is "no": it stays as it is, and the next plan shows it.
type Restart struct {
	Policy string `json:"policy"` // RestartOnFailure, RestartAlways, or empty
	Limit  int    `json:"limit"`  // restarts in a row before lkup gives up
}

// String is the policy as it can be written.
func (r Restart) String() string {
	if r.Policy == "" {
		return "no"
	}
	return r.Policy + ":" + strconv.Itoa(r.Limit)
}

func (i *instance) restart() {
	b := i.node.block
	v, ok := i.known(b, "restart", "restart", cty.String)
	if !ok {
		return
	}
	restart, problem := parseRestart(v.AsString())
	if problem != "" {
		i.wrong(b, "restart", "Invalid restart policy", "%s", problem)
	}
	i.vm.Restart = restart
}

// parseRestart reads "no", "on-failure", "always", or one of the last two with
// ":" and a number.
func parseRestart(text string) (Restart, string) {
	policies := []string{"no", RestartOnFailure, RestartAlways}
	policy, number, numbered := strings.Cut(text, ":")
	switch policy {
	case "no":
		if numbered {
			return Restart{}, `"no" takes no number. Write: restart = "no"`
		}
		return Restart{}, ""
	case RestartOnFailure, RestartAlways:
	default:
		return Restart{}, fmt.Sprintf("There is no policy %q.%s Write no, on-failure or always, or, with a number of restarts in a row, as in %q.", policy, didYouMean("", policy, policies), "on-failure:3")
	}
	if !numbered {
		return Restart{Policy: policy, Limit: defaultRestarts}, ""
	}
	limit, err := strconv.Atoi(number)
	if err != nil || limit < 1 || limit > mostRestarts {
		return Restart{}, fmt.Sprintf("After %q comes how many restarts in a row are tried, from 1 to %d. Write, for example: restart = %q", policy+":", mostRestarts, policy+":3")
	}
	return Restart{Policy: policy, Limit: limit}, ""
}
