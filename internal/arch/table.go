package arch

import (
	"fmt"
	"strings"
)

// Table shows the rules as ARCHITECTURE.md does.
func Table(rules []Rule) string {
	var b strings.Builder
	b.WriteString("| package | may import of ours | never |\n|---|---|---|\n")
	for _, r := range rules {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Package, list(r.Ours), list(r.Never))
	}
	return b.String()
}

func list(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	if names[0] == "*" {
		return "all"
	}
	return strings.Join(names, ", ")
}
