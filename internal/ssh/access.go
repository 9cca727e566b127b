package ssh

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/seed"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// sshPort is where guests listen.
const sshPort = 22

// QEMU's user network: the guest's fixed address, and the host's services.
const (
	userAddress = "10.0.2.15/24"
	userGateway = "10.0.2.2"
	userDNS     = "10.0.2.3"
)

// Access makes keys, gives guests their settings, and connects to them. It
// implements reconciler.Access and is safe for concurrent use.
type Access struct {
	Rand io.Reader
	Now  func() time.Time
}

var _ reconciler.Access = Access{}

// Prepare makes the VM's keys once, unless the user has named others, and
// writes its settings for the start that follows.
func (a Access) Prepare(_ context.Context, m drivers.Machine, vm spec.VM) ([]string, error) {
	var k keys
	if m.Login.PrivateKey == "" {
		var err error
		if k, err = makeKeys(m.Dir, a.Rand); err != nil {
			return nil, err
		}
	}
	if m.Disc != "" {
		if err := a.writeDisc(m, vm, k); err != nil {
			return nil, err
		}
	}
	l, err := loginOf(m)
	if err != nil {
		return nil, err
	}
	known := hostAlias(m) + " " + keyLine(l.host) + "\n"
	if err := state.WriteFile(filepath.Join(m.Dir, knownHosts), []byte(known), 0o600); err != nil || vm.Seed.Cloud() || m.Login.PrivateKey != "" {
		return nil, err
	}
	archive, err := seed.Archive(a.settings(m, vm, k))
	if err != nil {
		return nil, err
	}
	// Settings hold secrets, so they lie where nothing lasts, and the
	// reconciler removes them once the guest has started.
	path := filepath.Join(m.RunDir, seedFile)
	if err := state.WriteFile(path, archive, 0o600); err != nil {
		return nil, err
	}
	return []string{path}, nil
}

// environment is what the guest's programs see: env, and the secrets among it.
func environment(vm spec.VM) map[string]string {
	all := maps.Clone(vm.Env)
	for name, secret := range vm.Secrets {
		if all == nil {
			all = map[string]string{}
		}
		all[name] = secret.Value
	}
	return all
}

func (a Access) settings(m drivers.Machine, vm spec.VM, k keys) guest.Config {
	c := guest.Config{
		Hostname:       m.Name,
		HostKey:        string(k.hostPEM),
		AuthorizedKeys: []string{publicLine(k.client)},
		Env:            environment(vm),
		Time:           a.Now().Unix(),
		Task:           vm.Kind == spec.KindTask,
		Command:        vm.Command,
	}
	setNetworks(&c, m)
	for _, s := range m.Shares {
		c.Shares = append(c.Shares, guest.Share{Tag: s.Tag, Path: s.Guest, ReadOnly: s.ReadOnly, Serial: len(s.Protect) > 0, Virtiofs: s.Type == spec.ShareVirtiofs})
	}
	for _, s := range vm.Shares {
		if s.Type == spec.ShareSync {
			c.Shares = append(c.Shares, guest.Share{Path: s.Guest, Copy: true})
		}
	}
	for _, v := range m.Volumes {
		if v.Guest != "" {
			c.Volumes = append(c.Volumes, guest.Volume{Name: v.Name, Path: v.Guest, ReadOnly: v.ReadOnly})
		}
	}
	return c
}

// Files are those by which the guest is reached and known.
func (Access) Files() []string {
	return []string{hostKeyFile, clientKeyFile, knownHosts, reconciler.DiscFile}
}

// setNetworks gives the guest its addresses, and says who tells it names.
func setNetworks(c *guest.Config, m drivers.Machine) {
	if m.Isolated { // who knows no way out does not wait for answers
		c.Interfaces = []guest.Interface{{MAC: m.MAC, Address: userAddress}}
		return
	}
	if len(m.NICs) == 0 {
		c.Interfaces = []guest.Interface{{MAC: m.MAC, Address: userAddress, Gateway: userGateway}}
		c.DNS = []string{userDNS}
		return
	}
	for _, nic := range m.NICs {
		i := guest.Interface{
			MAC:      nic.MAC,
			Address:  netip.PrefixFrom(nic.Address, nic.Subnet.Bits()).String(),
			Address6: netip.PrefixFrom(nic.Address6, nic.Subnet6.Bits()).String(),
		}
		if nic.Default {
			i.Gateway = nic.Gateway.String()
			c.DNS, c.Search = []string{i.Gateway}, []string{m.Domain}
		}
		c.Interfaces = append(c.Interfaces, i)
	}
}

// Dial is Connect as the reconciler wants it.
func (a Access) Dial(ctx context.Context, m drivers.Machine) (reconciler.Guest, error) {
	return Connect(ctx, m)
}

// Connect opens one connection to a guest that Prepare has given its keys. It
// tries once, and gives up when ctx ends, with its cause.
func Connect(ctx context.Context, m drivers.Machine) (*Conn, error) {
	l, err := loginOf(m)
	if err != nil {
		return nil, err
	}
	address, err := hostAddress(m)
	if err != nil {
		return nil, err
	}
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	// The handshake knows no context, so its end closes the connection.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	client, err := handshake(raw, l)
	if !stop() {
		if err == nil {
			_ = client.Close() // it is of no use any more
		}
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = raw.Close() // the handshake's error says more
		return nil, fmt.Errorf("SSH with %s: %w", address, err)
	}
	return &Conn{client: client}, nil
}

func handshake(raw net.Conn, l login) (*ssh.Client, error) {
	conn, channels, requests, err := ssh.NewClientConn(raw, "", l.config())
	if err != nil {
		return nil, err
	}
	return ssh.NewClient(conn, channels, requests), nil
}

// hostAddress is where the host forwards to the guest's SSH server.
func hostAddress(m drivers.Machine) (string, error) {
	for _, p := range m.Ports {
		if p.Guest == sshPort && p.Protocol == "tcp" {
			return net.JoinHostPort(reachable(p.Address), strconv.Itoa(p.Host)), nil
		}
	}
	return "", fmt.Errorf("%s has no forwarded port to its SSH server", m.Address)
}

func reachable(address string) string {
	if address == "0.0.0.0" || address == "::" {
		return "127.0.0.1"
	}
	return address
}

// Config is an OpenSSH stanza by which plain ssh reaches the guest, with its
// host key checked strictly.
func Config(m drivers.Machine, alias string) (string, error) {
	address, err := hostAddress(m)
	if err != nil {
		return "", err
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	l, err := loginOf(m)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`Host %s
  HostName %s
  Port %s
  User %s
  IdentityFile %q
  IdentitiesOnly yes
  UserKnownHostsFile %q
  GlobalKnownHostsFile none
  HostKeyAlias %s
  StrictHostKeyChecking yes

`, alias, host, port, l.user, l.clientPath, filepath.Join(m.Dir, knownHosts), hostAlias(m)), nil
}
