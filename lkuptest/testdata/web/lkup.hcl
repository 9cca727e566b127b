stack "web" {}

variable "greeting" {
  default = "hello"
}

vm "web" {
  image  = "builtin:minimal"
  memory = "128MiB"
  env    = { GREETING = var.greeting }
  share {
    host  = "site"
    guest = "/srv"
  }
  port {
    guest = 80
    host  = "auto"
  }
  ready {
    exec = ["sh", "-c", "mkdir -p /www && echo \"$GREETING\" >/www/index.html && (pidof httpd || httpd -h /www)"]
  }
}

output "url" {
  value = "http://127.0.0.1:${vm.web.port[80]}/"
}

output "words" {
  value = ["a", "b"]
}

output "hidden" {
  value     = "very ${var.greeting}"
  sensitive = true
}
