package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// parcel is how much is carried at once, in MiB.
const parcel = 32

// measureNetwork compares what a stack's switch carries with what QEMU's own
// network does, between two guests, and between the host and a guest.
func measureNetwork(ctx context.Context, l lkup, r *report, rounds int) (err error) {
	if runtime.GOOS != "linux" {
		r.title("network: measured on Linux only, because it reads /proc")
		return nil
	}
	project, err := l.project("network", map[string]string{"lkup.hcl": networkStack})
	if err != nil {
		return err
	}
	defer func() {
		_, _, failed := l.run(context.WithoutCancel(ctx), project, "down", "-y")
		err = errors.Join(err, failed)
	}()
	if _, _, err := l.run(ctx, project, "apply", "-y"); err != nil {
		return err
	}
	serve := fmt.Sprintf("mkdir /tmp/www; dd if=/dev/zero of=/tmp/www/parcel bs=1M count=%d 2>/dev/null; httpd -p 80 -h /tmp/www", parcel)
	ports := map[string]string{}
	for _, vm := range []string{"switched", "plain"} {
		if _, _, err := l.inGuest(ctx, project, vm, serve); err != nil {
			return err
		}
		if ports[vm], _, err = l.run(ctx, project, "output", vm); err != nil {
			return err
		}
		ports[vm] = strings.TrimSpace(ports[vm])
	}
	var between, around, fromHost, fromHostPlain samples
	for range rounds {
		for _, m := range []struct {
			to   *samples
			take func() (time.Duration, error)
		}{
			{&between, func() (time.Duration, error) { return l.carry(ctx, project, "asker", "switched 80") }},
			{&around, func() (time.Duration, error) { return l.carry(ctx, project, "plainasker", "10.0.2.2 "+ports["plain"]) }},
			{&fromHost, func() (time.Duration, error) { return download(ctx, ports["switched"]) }},
			{&fromHostPlain, func() (time.Duration, error) { return download(ctx, ports["plain"]) }},
		} {
			took, err := m.take()
			if err != nil {
				return err
			}
			*m.to = append(*m.to, took)
		}
	}
	r.title(fmt.Sprintf("%d MiB by HTTP out of a guest", parcel))
	r.rates("to another guest, through the switch", between)
	r.rates("to another guest, through QEMU's network and the host", around)
	r.rates("to the host, through the switch", fromHost)
	r.rates("to the host, through QEMU's network", fromHostPlain)
	r.figure("time between guests: switch / QEMU's network", ratio(between, around))
	r.figure("time to the host: switch / QEMU's network", ratio(fromHost, fromHostPlain))
	return r.switchMemory(l)
}

// switchMemory looks at the switch after all that.
func (r *report) switchMemory(l lkup) error {
	all, err := processes()
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.exe == l.binary && len(p.argv) > 1 && p.argv[1] == "switch" {
			r.atMost("resident memory of the switch", float64(p.resident)/(1<<20), 23.8, " MiB")
		}
	}
	return nil
}

// figure prints what has no target.
func (r *report) figure(name string, got float64) {
	fmt.Fprintf(r.out, "  %-52s %6.2f\n", name, got)
}

func (r *report) rates(name string, s samples) {
	fmt.Fprintf(r.out, "  %-52s median %6.1f MiB/s   n=%d\n", name, parcel/s.median().Seconds(), len(s))
}

const networkStack = `stack "bench" {}

network "lan" {}

vm "asker" {
  image    = "builtin:minimal"
  networks = [network.lan]
}

vm "switched" {
  image    = "builtin:minimal"
  networks = [network.lan]
  port { guest = 80 }
}

vm "plainasker" { image = "builtin:minimal" }

vm "plain" {
  image = "builtin:minimal"
  port { guest = 80 }
}

output "switched" { value = vm.switched.port[80] }
output "plain" { value = vm.plain.port[80] }
`

// inGuest runs a line of shell.
func (l lkup) inGuest(ctx context.Context, project, vm, line string) (string, time.Duration, error) {
	return l.run(ctx, project, "exec", vm, "--", "sh", "-c", line)
}

// carry has a guest fetch the parcel, and takes the time there.
func (l lkup) carry(ctx context.Context, project, vm, from string) (time.Duration, error) {
	said, _, err := l.inGuest(ctx, project, vm, `time sh -c 'printf "GET /parcel HTTP/1.0\r\n\r\n" | nc `+from+` | wc -c' 2>&1`)
	if err != nil {
		return 0, err
	}
	return timed(said)
}

// real is a line of the shell's time.
var real = regexp.MustCompile(`real\s+([0-9]+)m\s*([0-9.]+)s`)

// timed reads how long a guest took, and demands that all came.
func timed(said string) (time.Duration, error) {
	found := real.FindStringSubmatch(said)
	bytes, _, _ := strings.Cut(strings.TrimSpace(said), "\n")
	if n, err := strconv.Atoi(strings.TrimSpace(bytes)); found == nil || err != nil || n < parcel<<20 {
		return 0, fmt.Errorf("the guest said %q", said)
	}
	minutes, errM := strconv.Atoi(found[1])
	seconds, errS := strconv.ParseFloat(found[2], 64)
	return time.Duration(minutes)*time.Minute + time.Duration(seconds*float64(time.Second)), errors.Join(errM, errS)
}

// download fetches the parcel to the host.
func download(ctx context.Context, port string) (time.Duration, error) {
	began := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+port+"/parcel", nil)
	if err != nil {
		return 0, err
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && n != parcel<<20 {
		err = fmt.Errorf("the guest sent %d bytes", n)
	}
	return time.Since(began), err
}
