package drivertest

import (
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
)

// usageTold: what a machine has used only grows, and who does not run uses
// nothing that could be told.
func usageTold(t *testing.T, s *scene) {
	meter := s.d.(drivers.Meter)
	if _, err := meter.Usage(s.ctx, s.m); err == nil {
		t.Error("a machine that never was uses something")
	}
	s.start(t, s.m)
	first, err := meter.Usage(s.ctx, s.m)
	if err != nil {
		t.Fatal(err)
	}
	if first.Resident <= 0 || first.CPU < 0 || first.Read < 0 || first.Written < 0 {
		t.Errorf("usage %+v", first)
	}
	for limit := time.Now().Add(time.Minute); ; { // a guest that boots works
		next, err := meter.Usage(s.ctx, s.m)
		if err != nil {
			t.Fatal(err)
		}
		if next.CPU < first.CPU || next.Read < first.Read || next.Written < first.Written {
			t.Errorf("usage %+v, was %+v", next, first)
		}
		if next.CPU > first.CPU {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("it uses no CPU")
		}
	}
	s.stop(t, s.m, 0)
	if _, err := meter.Usage(s.ctx, s.m); err == nil {
		t.Error("a stopped machine uses something")
	}
}
