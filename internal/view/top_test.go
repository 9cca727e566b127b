package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
)

func TestTop(t *testing.T) {
	rows := []view.TopRow{
		{Address: "vm.db", Name: "db", Status: drivers.Running, PID: 7, CPUs: 2, Guest: 1024, Measured: true, CPU: 1.25, Resident: 1 << 30, Read: 1234567, Written: 12, Uptime: time.Hour},
		{Address: "vm.web", Name: "web", Status: drivers.Running, PID: 8, CPUs: 1, Guest: 256, Measured: true, CPU: 0.015, Resident: 220 << 20, Uptime: 61 * time.Second},
		{Address: "vm.new", Name: "new", Status: drivers.Running, PID: 9, CPUs: 1, Guest: 256, Uptime: time.Second},
		{Address: "vm.x", Name: "x", Status: drivers.Stopped, CPUs: 1, Guest: 256},
	}
	golden(t, "top.txt", printed(t, func(b *strings.Builder) error { return view.TopText(b, pipe, rows) }))
	golden(t, "top-color.txt", printed(t, func(b *strings.Builder) error { return view.TopText(b, terminal, rows) }))
	golden(t, "top.json", printed(t, func(b *strings.Builder) error { return view.TopJSON(b, rows) }))
}
