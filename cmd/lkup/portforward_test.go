package main

import "testing"

func TestPortsToForward(t *testing.T) {
	for _, tt := range []struct{ text, host, guest string }{
		{"80", "127.0.0.1:80", "127.0.0.1:80"},
		{"8080:80", "127.0.0.1:8080", "127.0.0.1:80"},
		{":80", "127.0.0.1:0", "127.0.0.1:80"},
		{"0:80", "127.0.0.1:0", "127.0.0.1:80"},
		{"0.0.0.0:8080:80", "0.0.0.0:8080", "127.0.0.1:80"},
		{"[::1]:8080:80", "[::1]:8080", "127.0.0.1:80"},
		{"8080:db:5432", "127.0.0.1:8080", "db:5432"},
		{":db:5432", "127.0.0.1:0", "db:5432"},
		{"0.0.0.0:8080:db.lan:5432", "0.0.0.0:8080", "db.lan:5432"},
		{"", "", ""}, {"http", "", ""}, {"0", "", ""}, {"80:", "", ""}, {"8080:0", "", ""}, {"65536", "", ""}, {"x:80", "", ""},
		{"1:2:3:4:5", "", ""}, {"[::1:80", "", ""}, {"-1:80", "", ""},
	} {
		got, err := parseForwarding(tt.text, "127.0.0.1")
		if want := (forwarding{tt.host, tt.guest}); got != want || (err != nil) != (tt.host == "") {
			t.Errorf("%q: %+v, %v; want %+v", tt.text, got, err, want)
		}
	}
}

func TestPathsOfGuests(t *testing.T) {
	for _, tt := range []struct {
		arg, vm, name string
		inGuest       bool
	}{
		{"web:/etc/hosts", "web", "/etc/hosts", true},
		{"web:notes", "web", "/root/notes", true},
		{"web:", "web", "/root/", true},
		{"web:~/a/", "web", "/root/a/", true},
		{`vm.web["a:b/c"]:/x`, `vm.web["a:b/c"]`, "/x", true},
		{"file", "", "file", false},
		{"./web:x", "", "./web:x", false},
		{"dir/web:x", "", "dir/web:x", false},
		{"/abs:x", "", "/abs:x", false},
		{":x", "", ":x", false},
	} {
		vm, name, inGuest := guestPath(tt.arg)
		if vm != tt.vm || name != tt.name || inGuest != tt.inGuest {
			t.Errorf("%q: %q, %q, %v", tt.arg, vm, name, inGuest)
		}
	}
}
