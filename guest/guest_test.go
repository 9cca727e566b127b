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
