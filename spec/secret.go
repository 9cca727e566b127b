package spec

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/zclconf/go-cty/cty"
)

// SecretSource says where the value of a secret block comes from. Exactly one
// of Env, File and Command is set.
type SecretSource struct {
	Address Address
	Env     string   // of an environment variable of lkup's
	File    string   // relative to the project, or absolute
	Command []string // whose standard output it is, without a final newline
	Origin  Pos
}

// Secret is an element of a VM's environment that is handed to the guest and
// kept nowhere else. What is recorded is its fingerprint.
type Secret struct {
	Value string `json:"-"`
	// Digest is the value's HMAC-SHA-256 with the state's salt, in hex.
	Digest string `json:"digest,omitempty"`
}

// Seal computes the fingerprints of all secrets of the stack. Without a salt,
// before anything was applied, they have none.
func (s *Stack) Seal(salt string) {
	if salt == "" {
		return
	}
	for _, vm := range s.VMs {
		for name, secret := range vm.Secrets {
			sum := hmac.New(sha256.New, []byte(salt))
			sum.Write([]byte(secret.Value)) // a hash's Write has no errors
			secret.Digest = hex.EncodeToString(sum.Sum(nil)[:16])
			vm.Secrets[name] = secret
		}
	}
}

// secret notes where a secret's value comes from, and takes it if it is there.
func (e *evaluator) secret(n *node) {
	n.value = cty.UnknownVal(cty.String).Mark(sensitive).Mark(ephemeral)
	f := e.fields(n)
	s := SecretSource{Address: n.address(), Origin: position(n.block.at)}
	var given []string
	for _, name := range []string{"env", "file", "command"} {
		if n.block.args[name] != nil {
			given = append(given, name)
		}
	}
	switch {
	case len(given) == 0:
		e.fail(n.block.at, "Missing source", "A secret comes from somewhere else. Add: env = \"NAME\", file = \"PATH\", or command = [\"PROGRAM\", \"ARGUMENT\"]")
		f.failed = true
	case len(given) > 1:
		e.fail(n.block.args[given[1]].at, "Two sources in one", "A secret has one of env, file and command, and this has %s already. Take one of them out.", given[0])
		f.failed = true
	}
	e.constantText(n.block.args["description"])
	s.Env, _ = f.text(n.block, "env")
	s.File, _ = f.text(n.block, "file")
	if arg := n.block.args["command"]; arg != nil {
		s.Command = f.words(n.block, "command")
	}
	if n.tainted = n.tainted || f.failed; n.tainted {
		return
	}
	e.stack.Secrets = append(e.stack.Secrets, s)
	if value, there := e.in.Secrets[s.Address]; there {
		n.value = cty.StringVal(value).Mark(sensitive).Mark(ephemeral)
	}
}

// words reads a command: a list of strings with at least one.
func (f *fields) words(b *block, name string) []string {
	arg := b.args[name]
	v, ok := f.value(arg, f.ctx)
	if !ok {
		f.failed = true
		return nil
	}
	if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && !v.IsMarked() {
		f.wrong(b, name, "Wrong type", "A command is a list of words, since no shell splits it. Write: %s = [\"sh\", \"-c\", %q]", name, v.AsString())
		return nil
	}
	v, ok = f.get(b, name, cty.List(cty.String))
	if !ok {
		return nil
	}
	var words []string
	for _, word := range v.AsValueSlice() {
		if word.IsNull() {
			f.wrong(b, name, "Invalid command", "One of its words is null. Write each as a string.")
			return nil
		}
		words = append(words, word.AsString())
	}
	if len(words) == 0 {
		f.wrong(b, name, "Invalid command", "It is empty. Write, for example: %s = [\"pass\", \"show\", \"db\"]", name)
	}
	return words
}

// kept reports a value that must not be kept, where it would be.
func (e *evaluator) kept(arg *argument, v cty.Value) bool {
	if !v.ContainsMarked() {
		return false
	}
	_, marks := v.UnmarkDeep()
	if _, found := marks[ephemeral]; !found {
		return false
	}
	e.fail(arg.expr.Range(), "Secret would be kept",
		"The value contains a secret or an ephemeral variable, and %q is recorded in the state. Only the env of a vm takes such a value: env = { NAME = ... }", arg.name)
	return true
}
