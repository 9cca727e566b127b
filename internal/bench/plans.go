package main

import (
	"context"
	"fmt"
	"strings"
)

// measurePlans times `lkup plan` of many VMs with an empty state, written in
// the two ways that people write many: a block each, and one block that repeats.
func measurePlans(ctx context.Context, l lkup, r *report, rounds int) error {
	ways := []struct {
		name  string
		title string
		stack func(n int) string
	}{
		{"repeat", "lkup plan, one block with for_each, port, env and dependency, nothing there yet", repeatedVMs},
		{"blocks", "lkup plan, a block for each VM, port, env and dependency, nothing there yet", separateVMs},
	}
	for _, way := range ways {
		if err := measurePlan(ctx, l, r, rounds, way.name, way.title, way.stack); err != nil {
			return err
		}
	}
	return nil
}

func measurePlan(ctx context.Context, l lkup, r *report, rounds int, name, title string, stack func(int) string) error {
	few, err := l.project(name+"-few", map[string]string{"lkup.hcl": stack(1000)})
	if err != nil {
		return err
	}
	many, err := l.project(name+"-many", map[string]string{"lkup.hcl": stack(10000)})
	if err != nil {
		return err
	}
	// The first one pins the image.
	if _, _, err := l.run(ctx, few, "plan", "--allow-overcommit"); err != nil {
		return err
	}
	var thousand, tenThousand samples
	for range rounds {
		_, took, err := l.run(ctx, few, "plan", "--allow-overcommit")
		if err != nil {
			return err
		}
		thousand = append(thousand, took)
		if _, took, err = l.run(ctx, many, "plan", "--allow-overcommit"); err != nil {
			return err
		}
		tenThousand = append(tenThousand, took)
	}
	r.title(title)
	r.times("1,000 VMs", thousand)
	r.times("10,000 VMs", tenThousand)
	r.atMost("plan of 1,000", thousand.median().Seconds(), 0.25, " s")
	r.atMost("plan of 10,000 / plan of 1,000", ratio(tenThousand, thousand), 12, "")
	return nil
}

const manyHead = `stack "many" {}

template "minimal" {
  builtin = "minimal"
}

vm "first" {
  image  = template.minimal
  memory = "128MiB"
}
`

// repeatedVMs is a stack of n VMs, all but one of them from one block.
func repeatedVMs(n int) string {
	return manyHead + fmt.Sprintf(`
vm "m" {
  for_each = toset([for i in range(%d) : "n${i}"])
  image    = template.minimal
  memory   = "128MiB"
  env = {
    FIRST = vm.first.hostname
    NAME  = each.key
  }
  port {
    guest = 80
    host  = "auto"
  }
}
`, n-1)
}

// separateVMs is a stack of n VMs in groups of ten: one, and nine that refer to it.
func separateVMs(n int) string {
	var b strings.Builder
	b.WriteString(manyHead)
	for i := range n - 1 {
		fmt.Fprintf(&b, "\nvm \"m%d\" {\n  image  = template.minimal\n  memory = \"128MiB\"\n", i)
		if leader := i - i%10; leader != i {
			fmt.Fprintf(&b, "  env = {\n    FIRST = vm.m%d.hostname\n    NAME  = \"m%d\"\n  }\n", leader, i)
		}
		fmt.Fprintf(&b, "  port {\n    guest = 80\n    host  = %d\n  }\n}\n", 20000+i)
	}
	return b.String()
}
