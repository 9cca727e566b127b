package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/gofrs/flock"

	"github.com/lkup/lkup/internal/layout"
)

// Holder says who holds a stack's lock.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"` // lkup apply
	User    string    `json:"user,omitempty"`
	Since   time.Time `json:"since"`
}

// LockedError says that another lkup works on the stack.
type LockedError struct {
	Stack  string
	Holder Holder // zero if the holder had not written its name yet
}

func (e *LockedError) Error() string {
	who := "another lkup"
	if e.Holder.PID != 0 {
		who = fmt.Sprintf("%s (process %d, since %s)", e.Holder.Command, e.Holder.PID, e.Holder.Since.Local().Format("15:04:05"))
	}
	return fmt.Sprintf("stack %s is locked by %s; wait for it, or type the command again with --lock-timeout=1m", e.Stack, who)
}

const lockPoll = 50 * time.Millisecond

// acquire takes the stack's lock. The lock is the operating system's and ends
// with its holder's process, however that ends. The file stays.
func acquire(ctx context.Context, paths layout.Stack, stack string, holder Holder, timeout time.Duration) (*flock.Flock, error) {
	lock := flock.New(paths.Lock(), flock.SetPermissions(0o600))
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	got, err := lock.TryLock()
	if err == nil && !got && timeout > 0 {
		got, err = lock.TryLockContext(ctx, lockPoll)
	}
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("lock the stack: %w", plain(paths.Lock(), err))
	}
	if !got {
		return nil, &LockedError{Stack: stack, Holder: readHolder(paths)}
	}
	return lock, writeHolder(paths, holder)
}

func readHolder(paths layout.Stack) Holder {
	var holder Holder
	content, err := os.ReadFile(paths.Lock())
	if err == nil && json.Unmarshal(content, &holder) != nil {
		return Holder{}
	}
	return holder
}

// writeHolder writes into the lock's own file, which must not be renamed. A
// reader that comes in between sees no holder, and says "another lkup".
func writeHolder(paths layout.Stack, holder Holder) error {
	content, err := json.Marshal(holder)
	if err != nil {
		return err
	}
	if err := os.WriteFile(paths.Lock(), append(content, '\n'), 0o600); err != nil {
		return plain(paths.Lock(), err)
	}
	return nil
}
