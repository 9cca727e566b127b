package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

func TestRatesAreOfTheTimeBetweenTwoRounds(t *testing.T) {
	begun := time.Unix(1000, 0)
	at := func(after time.Duration, pid int, u drivers.Usage) measured {
		return measured{at: begun.Add(after), usage: u, row: view.TopRow{PID: pid, Measured: pid != 0}}
	}
	first := drivers.Usage{CPU: 9 * time.Second, Read: 7000, Written: 900}
	second := drivers.Usage{CPU: 10 * time.Second, Read: 11000, Written: 1900}
	before := map[spec.Address]measured{
		"vm.a": at(0, 1, first), "vm.b": at(0, 2, first), "vm.c": at(0, 0, drivers.Usage{}),
	}
	now := map[spec.Address]measured{
		"vm.a": at(2*time.Second, 1, second),
		"vm.b": at(2*time.Second, 3, second), // another process by now
		"vm.c": at(2*time.Second, 4, second), // it did not run
		"vm.d": at(2*time.Second, 5, second), // nor was it there
	}
	want := []view.TopRow{{PID: 1, Measured: true, CPU: 0.5, Read: 2000, Written: 500}, {PID: 3}, {PID: 4}, {PID: 5}}
	if diff := cmp.Diff(want, topRows(before, now)); diff != "" {
		t.Error(diff)
	}
}
