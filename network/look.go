package network

import (
	"maps"
	"slices"
)

// Report is what the switch sees.
type Report struct {
	Machines []Plugged `json:"machines"` // by address
	Denied   []Denial  `json:"denied"`   // newest first
}

// Plugged is a machine's place in a network.
type Plugged struct {
	VM       string `json:"vm"`
	Network  string `json:"network"`
	Address  string `json:"address"`
	Address6 string `json:"address6"`
	// Frames as the machine counts them; those dropped were forged, malformed,
	// or too many for it.
	Received int64 `json:"received"`
	Sent     int64 `json:"sent"`
	Dropped  int64 `json:"dropped"`
}

// Look tells who is plugged in, and what was refused.
func (s *Switch) Look() Report {
	r := Report{Machines: []Plugged{}, Denied: s.denied.list()}
	s.mu.Lock()
	defer s.mu.Unlock()
	byAddress := map[string]*machine{}
	for _, m := range s.machines {
		byAddress[m.Address+"\x00"+m.ID] = m
	}
	for _, key := range slices.Sorted(maps.Keys(byAddress)) {
		for _, p := range byAddress[key].ports {
			r.Machines = append(r.Machines, Plugged{
				VM: p.vm, Network: p.lan.address, Address: p.address.String(), Address6: p.address6.String(),
				Received: p.received.Load(), Sent: p.sent.Load(), Dropped: p.dropped.Load(),
			})
		}
	}
	return r
}
