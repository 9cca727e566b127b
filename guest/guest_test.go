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
