package ssh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/guest"
)

// Wake tells the guest that its memory was restored.
func (c *Conn) Wake(ctx context.Context, w guest.Wake) error {
	content, err := json.Marshal(w)
	if err != nil {
		return err
	}
	channel, requests, known, err := c.subsystem(ctx, guest.WakeSubsystem)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = channel.Close() })
	defer func() { stop(); _ = channel.Close() }()
	if !known {
		return errors.New("its init is of an older lkup, and does not hear that it was restored")
	}
	if _, err = channel.Write(content); err != nil {
		return err
	}
	said, err := io.ReadAll(io.LimitReader(channel.Stderr(), outputLimit))
	if err != nil {
		return err
	}
	for r := range requests {
		if r.Type == "exit-status" && len(r.Payload) == 4 && r.Payload[3] == 0 {
			return nil
		}
	}
	return errors.Join(ctx.Err(), fmt.Errorf("the guest did not wake: %s", strings.TrimSpace(string(said))))
}

// wakeScript sets the clock to $1, in seconds since 1970, and mixes its input into
// the kernel's random numbers; these are made anew at once where there is Python,
// as with cloud-init, and within a minute elsewhere. The ioctl is RNDRESEEDCRNG
// of linux/random.h.
const wakeScript = `[ "$(id -u)" = 0 ] || s="sudo -n"
exec $s sh -c 'date -u -s "@$1" >/dev/null || exit
cat >/dev/urandom || exit
command -v python3 >/dev/null || exit 0
exec python3 -Sc "import fcntl; fcntl.ioctl(open(\"/dev/urandom\", \"wb\"), 0x5207)"' lkup "$1"`

// WakeByShell does what it can of Wake where nothing of lkup's runs: as root, or
// as somebody who may become root by sudo. The name stays, which is the image's
// affair.
func (c *Conn) WakeByShell(ctx context.Context, w guest.Wake) error {
	var said limited
	status, err := c.Exec(ctx, Command{
		Args:  []string{"sh", "-c", wakeScript, "lkup", strconv.FormatInt(w.Time/int64(time.Second), 10)},
		Stdin: bytes.NewReader(w.Entropy), Stdout: &said, Stderr: &said,
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d: %s", status, strings.TrimSpace(said.content.String()))
	}
	return err
}
