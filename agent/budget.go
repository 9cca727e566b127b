package agent

import (
	"sync"

	"github.com/lkup/lkup/spec"
)

// Budget is what a session of an agent may still ask of an API. A nil one is
// without limits. It is safe for concurrent use.
type Budget struct {
	limit spec.Budget

	mu       sync.Mutex
	requests int
	carried  int64
}

// NewBudget begins a session. It is nil for a limit that is none.
func NewBudget(limit spec.Budget) *Budget {
	if limit == (spec.Budget{}) {
		return nil
	}
	return &Budget{limit: limit}
}

func (b *Budget) String() string { return b.limit.String() }

// request takes one request, if there is one left.
func (b *Budget) request() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limit.Requests > 0 && b.requests >= b.limit.Requests || b.limit.Bytes > 0 && b.carried >= b.limit.Bytes {
		return false
	}
	b.requests++
	return true
}

// bytes takes what went over the line; false says that it was too much.
func (b *Budget) bytes(n int64) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.carried += n
	return b.limit.Bytes == 0 || b.carried <= b.limit.Bytes
}
