package guest_test

import (
	"testing"

	"github.com/lkup/lkup/guest"
)

func TestMarkersAreHeardWhereverTheyStandInALine(t *testing.T) {
	for _, tt := range []struct {
		line  string
		stage guest.Stage
		found bool
	}{
		{guest.Marker(guest.StageInit), guest.StageInit, true},
		{"[    1.2] " + guest.Marker(guest.StageUp) + "\r", guest.StageUp, true},
		{"lkup-init: stage", "", false},
		{"lkup-init: stage flying", "", false},
		{"init", "", false},
		{"", "", false},
	} {
		if stage, found := guest.ParseMarker(tt.line); stage != tt.stage || found != tt.found {
			t.Errorf("%q gives %q, %v", tt.line, stage, found)
		}
	}
}

func TestAFailureIsReadBack(t *testing.T) {
	line := "noise " + guest.Failure("web", "exec: \"/x\":\nno such file")
	service, reason, failed := guest.ParseFailure(line)
	if !failed || service != "web" || reason != `exec: "/x": no such file` {
		t.Errorf("got %q, %q, %v from %q", service, reason, failed, line)
	}
	for _, other := range []string{"", "lkup-init: stage up", "web: cannot run", "lkup-init: cannot run web"} {
		if _, _, failed := guest.ParseFailure(other); failed {
			t.Errorf("%q is taken for a failure", other)
		}
	}
}

func TestWhatIsNotMountedIsReadBack(t *testing.T) {
	for _, what := range []string{guest.VolumeNamed + "data", guest.ShareAt + "/srv/site"} {
		line := "noise " + guest.Unmounted(what, "mount:\n not: there")
		got, reason, failed := guest.ParseUnmounted(line)
		if !failed || got != what || reason != "mount: not: there" {
			t.Errorf("got %q, %q, %v from %q", got, reason, failed, line)
		}
	}
	for _, other := range []string{"", "lkup-init: cannot mount the volume scratch: no", "lkup-init: cannot mount volume data", "cannot mount share /srv: no"} {
		if _, _, failed := guest.ParseUnmounted(other); failed {
			t.Errorf("%q is taken for a volume or a share", other)
		}
	}
}
