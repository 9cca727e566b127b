package main

import (
	"context"
	"fmt"
	"strings"
)

// measurePlans times `lkup plan` of many VMs with an empty state.
func measurePlans(ctx context.Context, l lkup, r *report, rounds int) error {
	few, err := l.project("few", map[string]string{"lkup.hcl": manyVMs(1000)})
	if err != nil {
		return err
	}
	many, err := l.project("many", map[string]string{"lkup.hcl": manyVMs(10000)})
	if err != nil {
		return err
	}
	// The first one pins the image.
	if _, _, err := l.run(ctx, few, "plan"); err != nil {
		return err
	}
	var thousand, tenThousand samples
	for range rounds {
		_, took, err := l.run(ctx, few, "plan")
		if err != nil {
			return err
		}
		thousand = append(thousand, took)
		if _, took, err = l.run(ctx, many, "plan"); err != nil {
			return err
		}
		tenThousand = append(tenThousand, took)
	}
	r.title("lkup plan, one block per VM, ports, env and dependencies, nothing there yet")
	r.times("1,000 VMs", thousand)
	r.times("10,000 VMs", tenThousand)
	r.atMost("plan of 1,000", thousand.median().Seconds(), 0.25, " s")
	r.atMost("plan of 10,000 / plan of 1,000", ratio(tenThousand, thousand), 12, "")
	return nil
}

// manyVMs is a stack of n VMs in groups of ten: one, and nine that refer to it.
func manyVMs(n int) string {
	var b strings.Builder
	b.WriteString("stack \"many\" {}\n\ntemplate \"minimal\" {\n  builtin = \"minimal\"\n}\n")
	for i := range n {
		fmt.Fprintf(&b, "\nvm \"m%d\" {\n  image  = template.minimal\n  cpus   = 1\n  memory = \"128MiB\"\n", i)
		if first := i - i%10; first != i {
			fmt.Fprintf(&b, "  env = {\n    FIRST = vm.m%d.hostname\n    NUMBER = %d\n  }\n", first, i)
		}
		fmt.Fprintf(&b, "  port {\n    guest = 80\n    host  = %d\n  }\n}\n", 20000+i)
	}
	return b.String()
}
