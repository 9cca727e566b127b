stack "hello" {
  required_version = ">= 0.1"
}

variable "memory" {
  type        = string
  default     = "256MiB"
  description = "What each machine gets."
}

template "web" {
  file = "web.yml"
}

# A machine that the others depend on.
vm "api" {
  image  = template.web
  memory = var.memory

  port {
    guest = 80
    host  = "auto"
  }

  share {
    host      = "./api"
    guest     = "/srv/www"
    read_only = true
  }

  ready {
    http    = "http://localhost:80/greeting.txt"
    timeout = "120s"
  }
}

# Two machines from one block, started once api is ready, because their
# settings refer to it.
vm "web" {
  for_each = toset(["blue", "green"])

  image  = template.web
  memory = var.memory

  env = {
    COLOUR = each.key
    # The host, as a guest in no network sees it, and the port chosen there.
    API = "http://10.0.2.2:${vm.api.port[80]}"
  }

  port {
    guest = 80
    host  = "auto"
  }

  share {
    host      = "./site"
    guest     = "/srv/www"
    read_only = true
  }

  ready {
    http    = "http://localhost:80/"
    timeout = "120s"
  }
}

output "url" {
  description = "The page in ./site, served from inside a machine."
  value       = "http://127.0.0.1:${vm.web["blue"].port[80]}/"
}

output "greeting" {
  description = "Asks api from inside web."
  value       = "http://127.0.0.1:${vm.web["green"].port[80]}/cgi-bin/greeting"
}
