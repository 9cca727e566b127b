package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestMedianIsTheMiddleOne(t *testing.T) {
	tests := []struct {
		name string
		in   samples
		want time.Duration
	}{
		{"one", samples{5}, 5},
		{"odd, unsorted", samples{9, 1, 4}, 4},
		{"even", samples{1, 9, 4, 2}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.median(); got != tt.want {
				t.Errorf("median of %v is %d, want %d", tt.in, got, tt.want)
			}
		})
	}
}

func TestReportCountsMissedTargets(t *testing.T) {
	var out strings.Builder
	r := &report{out: &out}
	r.atMost("met", 1.0, 1.25, "")
	r.atMost("missed", 1.3, 1.25, "")
	if r.missed != 1 || strings.Count(out.String(), "MISSED") != 1 {
		t.Errorf("%d missed\n%s", r.missed, out.String())
	}
}

func TestForwardedFindsTheHostsEnd(t *testing.T) {
	got, err := forwarded([]string{"-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:4711-:80,restrict=off"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("http://127.0.0.1:4711/", got); diff != "" {
		t.Error(diff)
	}
	if _, err := forwarded([]string{"-nodefaults"}); err == nil {
		t.Error("found a forward where there is none")
	}
}

func TestTimedReadsTheShellsTime(t *testing.T) {
	got, err := timed("33554900\nreal\t1m 2.50s\nuser\t0m 0.10s\nsys\t0m 0.20s\n")
	if want := 62500 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	for _, said := range []string{"", "12\nreal\t0m 0.01s\n", "nc: bad address\nreal\t0m 0.01s\n"} {
		if _, err := timed(said); err == nil {
			t.Errorf("took %q for a measurement", said)
		}
	}
}

func TestTicksReadsAProcessWithAnyName(t *testing.T) {
	got, err := ticks("7 (a) b 1) S 1 7 7 0 -1 4194304 157 0 0 0 12 30 0 0 20 0 1 0 3679647 3932160 521\n")
	if want := 420 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	if _, err := ticks("7 (gone)"); err == nil {
		t.Error("read times where there are none")
	}
}
