//go:build linux

package main

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"

	"github.com/lkup/lkup/guest"
)

// leaseLimit bounds the wait for an address: a network that gives none must
// not keep a guest from starting.
const leaseLimit = 10 * time.Second

// askForAddresses asks the networks for what no host said: a disk that lkup
// made may be started by anything. It fills in the settings.
func (m *machine) askForAddresses() {
	if m.config.FormatVersion != 0 {
		return // the host said
	}
	links, err := netlink.LinkList()
	m.try("list the interfaces", err)
	var mu sync.Mutex
	var group sync.WaitGroup
	for _, link := range links {
		if link.Type() != "device" || link.Attrs().EncapType != "ether" {
			continue
		}
		group.Go(func() {
			lease, err := m.lease(link)
			m.try("get an address for "+link.Attrs().Name, err)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			m.settle(link, lease)
		})
	}
	group.Wait()
}

// lease takes an address for as long as the guest runs.
func (m *machine) lease(link netlink.Link) (*nclient4.Lease, error) {
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, err
	}
	client, err := nclient4.New(link.Attrs().Name, nclient4.WithTimeout(time.Second), nclient4.WithRetry(int(leaseLimit/time.Second)))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaseLimit)
	defer cancel()
	lease, err := client.Request(ctx)
	if err != nil {
		_ = client.Close() // nobody answered; there is nothing to give back
		return nil, err
	}
	go m.renew(client, lease)
	return lease, nil
}

// renew asks again after half of each lease. The address stays even if nobody
// answers: what took it away could not give another one to services that run.
func (m *machine) renew(client *nclient4.Client, lease *nclient4.Lease) {
	for {
		time.Sleep(max(lease.ACK.IPAddressLeaseTime(time.Hour)/2, time.Minute))
		renewed, err := client.Renew(context.Background(), lease)
		m.try("renew the address "+lease.ACK.YourIPAddr.String(), err)
		if err == nil {
			lease = renewed
		}
	}
}

// settle makes settings of what the network said.
func (m *machine) settle(link netlink.Link, lease *nclient4.Lease) {
	said := lease.ACK
	mask := said.SubnetMask()
	if mask == nil {
		mask = said.YourIPAddr.DefaultMask()
	}
	i := guest.Interface{MAC: link.Attrs().HardwareAddr.String(), Address: (&net.IPNet{IP: said.YourIPAddr, Mask: mask}).String()}
	if routers := said.Router(); len(routers) > 0 {
		i.Gateway = routers[0].String()
	}
	m.config.Interfaces = append(m.config.Interfaces, i)
	for _, server := range said.DNS() {
		m.config.DNS = append(m.config.DNS, server.String())
	}
}
