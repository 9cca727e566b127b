package qemu

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
)

// TestAPressedButtonIsWaitedFor: a QEMU that ends closes its monitor before it
// is gone. The button was heard, so the time that it has is not cut short.
func TestAPressedButtonIsWaitedFor(t *testing.T) {
	m := drivers.Machine{Dir: t.TempDir(), RunDir: t.TempDir()}
	pressed := make(chan error, 1)
	listener, err := net.Listen("unix", monitorPath(m))
	if err != nil {
		t.Fatal(err)
	}
	go func() { pressed <- answerUntil(listener, "system_powerdown") }()
	ctx, cancel := context.WithTimeout(t.Context(), pressAgain+time.Second)
	defer cancel()
	if err := (ladder{m: m}).button(ctx); err != nil || ctx.Err() == nil {
		t.Errorf("%v after %v, want that the whole time is waited for", err, ctx.Err())
	}
	if err := <-pressed; err != nil {
		t.Errorf("the button was not pressed: %v", err)
	}
	if err := (ladder{m: m}).button(t.Context()); err == nil {
		t.Error("a monitor that was never there is no mistake")
	}
}

// answerUntil speaks QEMU's machine protocol until a command was answered, and
// is gone then.
func answerUntil(listener net.Listener, last string) error {
	defer listener.Close()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		fmt.Fprintln(conn, `{"QMP": {}}`)
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			fmt.Fprintln(conn, `{"return": {"status": "running", "running": true}}`)
			if strings.Contains(lines.Text(), last) {
				return conn.Close()
			}
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
}
