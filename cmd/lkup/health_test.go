package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/fake"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
	"github.com/lkup/lkup/supervisor"
)

// TestWhoIsPoweringOffIsNotIll: a guest says so on its console, and then answers
// nobody. What an earlier run said, or anybody in a line of another's, does not count.
func TestWhoIsPoweringOffIsNotIll(t *testing.T) {
	const began = "2026-01-02T03:04:05Z lkup: started\n"
	for name, c := range map[string]struct {
		console string
		held    time.Duration
	}{
		"says nothing":     {began + "login:\n", 0},
		"an earlier run":   {began + guest.Ending + "\r\n" + began + "login:\n", 0},
		"somebody's words": {began + "web: " + guest.Ending + "\r\n", 0},
		"powers off":       {began + guest.Ending + "\r\nweb: bye\n", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			m := drivers.Machine{Dir: t.TempDir(), ID: "0123abcd"}
			if err := os.WriteFile(filepath.Join(m.Dir, drivers.ConsoleLog), []byte(c.console), 0o600); err != nil {
				t.Fatal(err)
			}
			driver := fake.New(t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				one := &prober{instance: state.Instance{Applied: spec.VM{
					Health: spec.Health{TCP: 80, Interval: time.Second, Timeout: time.Second, Retries: 1}, // no port block: it never passes
				}}}
				ctx, cancel := context.WithCancel(t.Context())
				go one.run(ctx, reconciler.NewProber(nil, driver, one.instance, m), time.Now)
				ill := func(after time.Duration) bool {
					time.Sleep(after)
					synctest.Wait()
					return one.get().Status == supervisor.Unhealthy
				}
				if c.held > 0 && ill(c.held-time.Second/2) {
					t.Error("it is ill while it powers off")
				}
				if !ill(time.Second / 2) {
					t.Errorf("it is not ill %s later: %+v", c.held, one.get())
				}
				cancel()
			})
		})
	}
}
