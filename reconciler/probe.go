package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/spec"
)

// probeLimit bounds one try. It is short, because QEMU's user network accepts
// a connection before the guest listens and then is silent for a second.
const probeLimit = 2 * time.Second

// httpLimit bounds one try of an http probe through the host's port, for the
// same reason.
const httpLimit = 250 * time.Millisecond

// sshProbe is the name of the probe that SSH answers.
const sshProbe = "ssh"

// probe is one thing that must hold before a VM is ready.
type probe struct {
	name   string
	ssh    bool // it goes through the guest's SSH server
	hear   func(line string)
	try    func(ctx context.Context, conn Guest) error
	passed bool
	last   error
}

// checkProbes refuses probes that the image cannot answer.
func checkProbes(r spec.Ready, guest bool) error {
	if guest {
		return nil
	}
	switch {
	case r.SSH:
		return errors.New("ready.ssh needs a way in: an image that runs lkup's init, or a seed or ssh block; or use ready.log or ready.http")
	case len(r.Exec) > 0:
		return errors.New("ready.exec needs a way in: an image that runs lkup's init, or a seed or ssh block; or use ready.log or ready.http")
	}
	return nil
}

// probesOf lists the probes of a VM. With none given, SSH is one where the
// image serves it.
func probesOf(vm spec.VM, guest bool) []*probe {
	r := vm.Ready
	var all []*probe
	if r.TCP != 0 {
		all = append(all, tcpProbe(vm, guest))
	}
	if r.HTTP != "" {
		all = append(all, httpProbe(vm, guest))
	}
	if len(r.Exec) > 0 {
		all = append(all, execProbe(r.Exec))
	}
	if r.Log != "" {
		all = append(all, logProbe(r.Log))
	}
	if r.SSH || len(all) == 0 && guest {
		all = append(all, &probe{name: sshProbe, ssh: true, try: func(context.Context, Guest) error { return nil }})
	}
	switch places := mountPlaces(vm); {
	case vm.Seed.Cloud() && len(places) > 0:
		all = append(all, mountsProbe(places))
	case guest && len(places) > 0:
		all = append(all, announcedProbe(vm))
	}
	for _, p := range all {
		if p.hear == nil {
			p.hear = func(string) {}
		}
	}
	return all
}

// tcpProbe asks from inside the guest, where only a listener makes a connection.
func tcpProbe(vm spec.VM, guest bool) *probe {
	port := vm.Ready.TCP
	p := &probe{name: fmt.Sprintf("tcp %d", port), ssh: guest}
	p.try = func(ctx context.Context, conn Guest) error {
		if !guest {
			return hostAnswers(ctx, vm, port)
		}
		c, err := conn.DialTCP(ctx, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		return c.Close()
	}
	return p
}

// hostAnswers connects through the host's port. The user network accepts for
// the guest, and hangs up at once if the guest refuses: a connection that
// stays open, or says something, is an answer.
func hostAnswers(ctx context.Context, vm spec.VM, port int) error {
	forward, found := forwardTo(vm, port)
	if !found {
		return fmt.Errorf("guest port %d has no port block, and the image no lkup init", port)
	}
	var dialer net.Dialer
	c, err := dialer.DialContext(ctx, "tcp", forward)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(httpLimit)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return nil
	}
	return fmt.Errorf("the guest hung up: %w", err)
}

// forwardTo is the host's address for a guest port.
func forwardTo(vm spec.VM, port int) (string, bool) {
	for _, p := range vm.Ports {
		if p.Guest == port && p.Protocol == "tcp" {
			return net.JoinHostPort(reachable(p.Address), strconv.Itoa(p.Host)), true
		}
	}
	return "", false
}

// reachable is the address to connect to, for one to listen on.
func reachable(address string) string {
	switch address {
	case "0.0.0.0", "":
		return "127.0.0.1"
	case "::":
		return "::1"
	}
	return address
}

// httpProbe asks through the host's port if there is one, as the user will,
// and else from inside the guest.
func httpProbe(vm spec.VM, guest bool) *probe {
	target := vm.Ready.HTTP
	u, err := url.Parse(target)
	p := &probe{name: "http " + target}
	if err != nil {
		p.try = func(context.Context, Guest) error { return err }
		return p
	}
	address, outside := forwardTo(vm, guestPort(u))
	outside = outside && isLocal(u.Hostname())
	p.ssh = !outside && guest
	p.try = func(ctx context.Context, conn Guest) error {
		if outside {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, httpLimit)
			defer cancel()
		}
		return httpAnswers(ctx, target, func(ctx context.Context, network, inside string) (net.Conn, error) {
			if outside {
				var dialer net.Dialer
				return dialer.DialContext(ctx, network, address)
			}
			if conn == nil {
				return nil, fmt.Errorf("guest port %d has no port block, and the image no lkup init", guestPort(u))
			}
			c, err := conn.DialTCP(ctx, inside)
			return asConn{ReadWriteCloser: c}, err
		})
	}
	return p
}

func httpAnswers(ctx context.Context, target string, dial func(ctx context.Context, network, address string) (net.Conn, error)) error {
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode < 200 || response.StatusCode > 399 {
		return fmt.Errorf("answered %s", response.Status)
	}
	return nil
}

func guestPort(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func execProbe(command []string) *probe {
	return &probe{name: "exec " + strings.Join(command, " "), ssh: true, try: func(ctx context.Context, conn Guest) error {
		status, output, err := conn.Run(ctx, command)
		if err != nil {
			return err
		}
		if status != 0 {
			return fmt.Errorf("exit status %d: %s", status, strings.TrimSpace(string(output)))
		}
		return nil
	}}
}

// mountPlaces are where the guest shall mount something.
func mountPlaces(vm spec.VM) []string {
	var all []string
	for _, m := range vm.Mounts {
		if m.Path != "" {
			all = append(all, m.Path)
		}
	}
	for _, s := range vm.Shares {
		if s.Way() != spec.ShareSync {
			all = append(all, s.Guest)
		}
	}
	return all
}

// mountsProbe looks for mounts in the guest's own list of them.
func mountsProbe(places []string) *probe {
	return &probe{name: mountsProbeName, ssh: true, try: func(ctx context.Context, conn Guest) error {
		status, output, err := conn.Run(ctx, []string{"cat", "/proc/mounts"})
		if err != nil {
			return err
		}
		if status != 0 {
			return fmt.Errorf("cat /proc/mounts: exit status %d", status)
		}
		there := map[string]bool{}
		for line := range strings.Lines(string(output)) {
			if fields := strings.Fields(line); len(fields) > 1 {
				there[strings.ReplaceAll(fields[1], `\040`, " ")] = true
			}
		}
		for _, place := range places {
			if !there[place] {
				return fmt.Errorf("nothing is mounted at %s; /var/log/cloud-init.log in the guest says why", place)
			}
		}
		return nil
	}}
}

// mountsProbeName is of the probes that say that the guest has mounted what it
// shall.
const mountsProbeName = "mounts"

// announcedProbe waits until the guest says that its volumes and shares are
// mounted: what writes to their places before that writes to memory.
func announcedProbe(vm spec.VM) *probe {
	// An older init says it of volumes only; it is up later than its shares are.
	sharesAlone := !slices.ContainsFunc(vm.Mounts, func(m spec.Mount) bool { return m.Path != "" })
	seen := false
	return &probe{
		name: mountsProbeName,
		hear: func(line string) {
			stage, _ := guest.ParseMarker(line)
			seen = seen || stage == guest.StageVolumes || sharesAlone && stage == guest.StageUp
		},
		try: func(context.Context, Guest) error {
			if seen {
				return nil
			}
			return errors.New("the guest has not mounted its volumes and shares; if its image was made by an older lkup, make it anew: lkup apply --upgrade")
		},
	}
}

func logProbe(pattern string) *probe {
	expression, err := regexp.Compile(pattern)
	seen := false
	return &probe{
		name: fmt.Sprintf("log %q", pattern),
		hear: func(line string) { seen = seen || err == nil && expression.MatchString(line) },
		try: func(context.Context, Guest) error {
			if err != nil || seen {
				return err
			}
			return errors.New("no line matches yet")
		},
	}
}

// asConn lets net/http speak over a connection into a guest. Its time limits
// are the request's context.
type asConn struct{ io.ReadWriteCloser }

func (asConn) LocalAddr() net.Addr              { return nil }
func (asConn) RemoteAddr() net.Addr             { return nil }
func (asConn) SetDeadline(time.Time) error      { return nil }
func (asConn) SetReadDeadline(time.Time) error  { return nil }
func (asConn) SetWriteDeadline(time.Time) error { return nil }
