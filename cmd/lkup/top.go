package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type topCmd struct {
	dirFlag
	JSON     bool         `name:"json" help:"Print one round as JSON."`
	Once     bool         `name:"once" help:"Print one round, on a terminal too."`
	Interval durationFlag `name:"interval" placeholder:"DURATION" default:"1s" help:"Over how long it is measured, and how often."`
	VMs      []string     `arg:"" optional:"" name:"vm" predictor:"vm" help:"Machines; all of them by default."`
}

// shortestRound is the least that can be measured over.
const shortestRound = 100 * time.Millisecond

// Run shows what machines use of this computer: on a terminal again and again.
func (c *topCmd) Run(call *call) error {
	every := max(c.Interval.Duration, shortestRound)
	live := call.TTY.Out && !c.Once && !c.JSON
	before, err := c.measure(call)
	if err != nil {
		return err
	}
	if live {
		fmt.Fprint(call.Out, "\x1b[?1049h\x1b[?25l") // a screen of its own, without a cursor
		defer fmt.Fprint(call.Out, "\x1b[?25h\x1b[?1049l")
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-call.ctx.Done():
			return c.left(call, live)
		case <-tick.C:
		}
		now, err := c.measure(call)
		if err != nil {
			if call.ctx.Err() != nil {
				return c.left(call, live)
			}
			return err
		}
		rows := topRows(before, now)
		before = now
		switch {
		case c.JSON:
			return view.TopJSON(call.Out, rows)
		case !live:
			return view.TopText(call.Out, call.outStyle(), rows)
		}
		if err := c.draw(call, rows); err != nil {
			return err
		}
	}
}

// left is how a person leaves: that is no error where something was shown.
func (c *topCmd) left(call *call, live bool) error {
	if live {
		return nil
	}
	return call.ctx.Err()
}

// draw replaces what the screen shows, in one write.
func (c *topCmd) draw(call *call, rows []view.TopRow) error {
	var b strings.Builder
	if err := view.TopText(&b, call.outStyle(), rows); err != nil {
		return err
	}
	text := strings.ReplaceAll(b.String(), "\n", "\x1b[K\r\n")
	_, err := io.WriteString(call.Out, "\x1b[H"+text+"\x1b[K\r\nCtrl-C ends this.\x1b[J")
	return err
}

// measured is one machine at one time.
type measured struct {
	at    time.Time
	row   view.TopRow
	usage drivers.Usage
}

func (c *topCmd) measure(call *call) (map[spec.Address]measured, error) {
	machines, err := several(call.Host, c.dirFlag, c.VMs)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	all := map[spec.Address]measured{}
	for _, r := range machines {
		group.Go(func() {
			m := measure(call.ctx, r, call.Now)
			mu.Lock()
			defer mu.Unlock()
			all[r.instance.Address] = m
		})
	}
	group.Wait()
	return all, call.ctx.Err()
}

// measure asks for what a machine uses. What cannot be told is left out.
func measure(ctx context.Context, r reached, now func() time.Time) measured {
	i := r.instance
	m := measured{row: view.TopRow{Address: i.Address, Name: i.Applied.Name, Status: drivers.Unknown, CPUs: i.Applied.CPUs, Guest: i.Applied.Memory}}
	status, err := r.driver.Status(ctx, r.machine)
	if err != nil {
		return m
	}
	status = reconciler.Observed(i, status).Status
	m.row.Status, m.row.PID = status.State, status.PID
	if status.Memory != 0 {
		m.row.Guest = status.Memory
	}
	m.at = now()
	if !status.Started.IsZero() {
		m.row.Uptime = m.at.Sub(status.Started)
	}
	meter, able := r.driver.(drivers.Meter)
	if !able || status.PID == 0 {
		return m
	}
	if m.usage, err = meter.Usage(ctx, r.machine); err == nil {
		m.at, m.row.Measured, m.row.Resident = now(), true, m.usage.Resident
	}
	return m
}

// topRows compares two rounds. A machine that was started in between has no
// rates yet.
func topRows(before, now map[spec.Address]measured) []view.TopRow {
	var rows []view.TopRow
	for _, a := range sortedKeys(now) {
		one, was := now[a], before[a]
		row := one.row
		if took := one.at.Sub(was.at); row.Measured && was.row.Measured && was.row.PID == row.PID && took > 0 {
			row.CPU = float64(one.usage.CPU-was.usage.CPU) / float64(took)
			row.Read = float64(one.usage.Read-was.usage.Read) / took.Seconds()
			row.Written = float64(one.usage.Written-was.usage.Written) / took.Seconds()
		} else {
			row.Measured = false
		}
		rows = append(rows, row)
	}
	return rows
}
