package spec_test

import (
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lkup/lkup/spec"
)

const twinHCL = `
stack "twins" {
  required_version = "~> 0.2"
}
variable "sizes" {
  type        = map(string)
  default     = { db = "1GiB" }
  description = "Sizes."
  validation {
    condition     = length(var.sizes) > 0
    error_message = "Give a size."
  }
}
locals {
  colours = toset(["blue", "green"])
  url     = "http://localhost:${vm.db.port[5432]}"
}
image "debian" {
  source = "https://example.org/debian.qcow2"
}
template "web" {
  file = "web.yml"
  vars = { A = "1", B = 2 }
}
vm "db" {
  image  = image.debian
  memory = var.sizes["db"]
  cpus   = 2
  port {
    guest = 5432
  }
  port {
    guest    = 53
    protocol = "udp"
    host     = 5353
  }
}
vm "web" {
  for_each   = local.colours
  image      = template.web
  env        = { DB = local.url, COLOUR = upper(each.key) }
  depends_on = [vm.worker]
  share {
    host      = "./site"
    guest     = "/srv/www"
    read_only = true
  }
  ready {
    http    = "http://localhost/"
    exec    = ["true", "really"]
    timeout = "3s"
  }
}
vm "worker" {
  count   = 2
  image   = "builtin:minimal"
  running = false
}
output "names" {
  value       = vm.worker[*].name
  description = "Who works."
}
output "first" {
  value = vm.worker[0].name
}
`

const twinJSON = `{
  "//": "the same, as a program would write it",
  "stack": {"twins": {"required_version": "~> 0.2"}},
  "variable": {"sizes": {
    "type": "map(string)",
    "default": {"db": "1GiB"},
    "description": "Sizes.",
    "validation": {"condition": "${length(var.sizes) > 0}", "error_message": "Give a size."}
  }},
  "locals": {
    "colours": "${toset([\"blue\", \"green\"])}",
    "url": "http://localhost:${vm.db.port[5432]}"
  },
  "image": {"debian": {"source": "https://example.org/debian.qcow2"}},
  "template": {"web": {"file": "web.yml", "vars": {"A": "1", "B": 2}}},
  "vm": {
    "db": {
      "image": "${image.debian}",
      "memory": "${var.sizes[\"db\"]}",
      "cpus": 2,
      "port": [{"guest": 5432}, {"guest": 53, "protocol": "udp", "host": 5353}]
    },
    "web": {
      "for_each": "${local.colours}",
      "image": "${template.web}",
      "env": {"DB": "${local.url}", "COLOUR": "${upper(each.key)}"},
      "depends_on": ["vm.worker"],
      "share": {"host": "./site", "guest": "/srv/www", "read_only": true},
      "ready": {"http": "http://localhost/", "exec": ["true", "really"], "timeout": "3s"}
    },
    "worker": {"count": 2, "image": "builtin:minimal", "running": false}
  },
  "output": {
    "names": {"value": "${vm.worker[*].name}", "description": "Who works."},
    "first": {"value": "${vm.worker[0].name}"}
  }
}`

func TestJSONSyntaxMeansTheSame(t *testing.T) {
	native := mustLoad(t, fstest.MapFS{"lkup.hcl": {Data: []byte(twinHCL)}, "web.yml": {}})
	for _, name := range []string{"lkup.json", "main.lkup.json"} {
		twin := mustLoad(t, fstest.MapFS{name: {Data: []byte(twinJSON)}, "web.yml": {}})
		ignore := cmp.Options{
			cmpopts.IgnoreTypes(spec.Pos{}),
			cmpopts.IgnoreFields(spec.Stack{}, "Files", "From"), // From is keyed by places
		}
		if diff := cmp.Diff(native, twin, ignore); diff != "" {
			t.Errorf("-HCL +%s\n%s", name, diff)
		}
		for a, vm := range twin.VMs {
			for path, pos := range vm.Origins {
				if pos.File != name || pos.Line < 1 || pos.Column < 1 {
					t.Errorf("%s %q comes from %+v", a, path, pos)
				}
			}
		}
	}
}

func mustLoad(t *testing.T, project fstest.MapFS) *spec.Stack {
	t.Helper()
	stack, files, diags := spec.Load(project, inputs())
	if len(diags) > 0 {
		t.Fatal(rendered(t, files, diags))
	}
	return stack
}
