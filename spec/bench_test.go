package spec_test

import (
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/lkup/lkup/spec"
)

func BenchmarkLoad1000(b *testing.B)  { benchmarkLoad(b, 1000) }
func BenchmarkLoad10000(b *testing.B) { benchmarkLoad(b, 10000) }

func manyVMs(n int) fstest.MapFS {
	return fstest.MapFS{"lkup.hcl": {Data: fmt.Appendf(nil, `
vm "db" {
  image = "builtin:minimal"
  port {
    guest = 5432
  }
}

vm "app" {
  for_each = toset([for i in range(%d) : "vm${i}"])
  image    = "builtin:minimal"
  memory   = "512MiB"
  env = {
    NAME    = each.key
    DB_HOST = vm.db.hostname
    DB_PORT = vm.db.port[5432]
  }
  port {
    guest = 80
    host  = "auto"
  }
  ready {
    tcp     = 80
    timeout = "60s"
  }
}

output "names" { value = [for key, app in vm.app : app.hostname] }
`, n)}}
}

func benchmarkLoad(b *testing.B, n int) {
	project := manyVMs(n)
	for b.Loop() {
		stack, _, diags := spec.Load(project, inputs())
		if len(diags) > 0 || len(stack.VMs) != n+1 {
			b.Fatalf("%d VMs, %v", len(stack.VMs), diags)
		}
	}
}
