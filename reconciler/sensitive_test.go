package reconciler

import (
	"os"
	"testing"
)

// TestPathsThatNoGuestShouldHave is about those that a computer may lack.
func TestPathsThatNoGuestShouldHave(t *testing.T) {
	info, err := os.Stat(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/home/ann":        "a home directory",
		"/Users/ann":       "a home directory",
		"/root":            "a home directory",
		"/srv/people/me":   "a home directory",
		"/srv/people":      "where home directories are",
		"/run/user/1000":   "where sockets are",
		"/var/run":         "where sockets are",
		"/root/.aws":       "where keys are",
		"/x/.gnupg/y":      "where keys are",
		"/x/.kube":         "where keys are",
		"/srv/peoples":     "",
		"/home/ann/shop":   "",
		"/srv/people/me/x": "",
	} {
		if got := sensitive(path, "/srv/people/me", info); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
