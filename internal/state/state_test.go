package state_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

func stackIn(dir string) layout.Stack {
	return layout.Layout{State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}.Stack("shop", dir)
}

func lock(t *testing.T, paths layout.Stack) *state.Store {
	t.Helper()
	store, err := tryLock(t.Context(), paths, 0)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func tryLock(ctx context.Context, paths layout.Stack, timeout time.Duration) (*state.Store, error) {
	return state.Lock(ctx, paths, state.Owner{
		Stack: "shop", Project: "/project", Rand: rand.Reader, Timeout: timeout,
		Holder: state.Holder{PID: os.Getpid(), Command: "lkup test", Since: time.Now()},
	})
}

func instance(n int) state.Instance {
	address := spec.Address(fmt.Sprintf("vm.n[%d]", n))
	return state.Instance{
		Address: address, ID: fmt.Sprintf("%08x", n), Nonce: "nonce",
		Applied: spec.VM{Address: address, Memory: 128},
	}
}

// TestMain turns the test binary into a holder of a lock, when asked.
func TestMain(m *testing.M) {
	dir := os.Getenv("LKUP_TEST_HOLD")
	if dir == "" {
		os.Exit(m.Run())
	}
	store, err := tryLock(context.Background(), stackIn(dir), 0)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if _, err := store.Begin(state.Entry{Address: "vm.web", ID: "0", Effect: "start"}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	select {}
}

// hold starts a process that holds the lock.
func hold(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LKUP_TEST_HOLD="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the holder said %q, %v", line, err)
	}
	return cmd
}

func TestWhatIsPutIsReadByOthers(t *testing.T) {
	paths := stackIn(t.TempDir())
	store := lock(t, paths)
	if err := store.Put(instance(1)); err != nil {
		t.Fatal(err)
	}
	if err := store.SetOutputs(map[string]any{"url": "http://x", "n": 1.0}, nil); err != nil {
		t.Fatal(err)
	}
	got, err := state.Read(paths)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(store.State(), got); diff != "" {
		t.Fatalf("what is on disk differs (-kept +read):\n%s", diff)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again := lock(t, paths)
	defer again.Close()
	if again.State().Lineage != got.Lineage || again.State().Serial != got.Serial {
		t.Fatal("opening the state changed it")
	}
}

func TestALockedStackNamesItsHolderUntilThatIsKilled(t *testing.T) {
	dir := t.TempDir()
	holder := hold(t, dir)
	_, err := tryLock(t.Context(), stackIn(dir), 0)
	var locked *state.LockedError
	if !errors.As(err, &locked) || locked.Holder.PID != holder.Process.Pid {
		t.Fatalf("got %v, want a LockedError that names process %d", err, holder.Process.Pid)
	}
	if !strings.Contains(err.Error(), "lkup test") || !strings.Contains(err.Error(), "--lock-timeout") {
		t.Errorf("the message does not help: %v", err)
	}
	if err := holder.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	store, err := tryLock(t.Context(), stackIn(dir), 30*time.Second) // it waits until the kernel has freed it
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	unfinished := store.Unfinished()
	if len(unfinished) != 1 || unfinished[0].Address != "vm.web" || unfinished[0].Effect != "start" {
		t.Fatalf("the journal of the killed one is %+v", unfinished)
	}
}

func TestALockThatIsNotFreedInTimeIsNotTaken(t *testing.T) {
	dir := t.TempDir()
	hold(t, dir)
	_, err := tryLock(t.Context(), stackIn(dir), 100*time.Millisecond)
	var locked *state.LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want a LockedError", err)
	}
}

func TestStatesThatCannotBeReadAreNotOverwritten(t *testing.T) {
	for _, tt := range []struct{ name, content, says string }{
		{"newer format", `{"format_version": 99}`, "newer lkup"},
		{"the next format", fmt.Sprintf(`{"format_version": %d}`, state.FormatVersion+1), "newer lkup"},
		{"no JSON", `{"format_ver`, "state.json.backup"},
		{"empty", ``, "state.json.backup"},
		{"wrong type", `{"format_version": 1, "instances": 3}`, "state.json.backup"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			paths := stackIn(t.TempDir())
			if err := os.MkdirAll(paths.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(paths.StateFile(), []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := tryLock(t.Context(), paths, 0); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want it to say %q", err, tt.says)
			}
			if now, err := os.ReadFile(paths.StateFile()); err != nil || string(now) != tt.content {
				t.Errorf("the file is now %q, %v", now, err)
			}
		})
	}
}

func TestManyPutsAtOnceAreAllOnDisk(t *testing.T) {
	paths := stackIn(t.TempDir())
	store := lock(t, paths)
	defer store.Close()
	const n = 100
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			if err := store.Put(instance(i)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	got, err := state.Read(paths)
	if err != nil || len(got.Instances) != n {
		t.Fatalf("%d instances are on disk, %v", len(got.Instances), err)
	}
}

func TestAWriteThatFailsLeavesTheOldContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := state.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = 512 << 10 // the list of files that go test keeps of this process must still fit
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	err := state.WriteFile(path, make([]byte, 1<<20), 0o600)
	if restore := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); restore != nil {
		t.Fatal(restore)
	}
	if err == nil {
		t.Fatal("more was written than may be")
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != "old" {
		t.Fatalf("the file is now %q, %v", now, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestOnlyRecordlessManifestsAreSweptAway(t *testing.T) {
	paths := stackIn(t.TempDir())
	store := lock(t, paths)
	if err := store.Put(instance(1)); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{paths.Manifest("aaaaaaaa"), paths.Manifest("bbbbbbbb"), filepath.Join(paths.Instance("bbbbbbbb"), "disk")} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store.Close()
	lock(t, paths).Close()
	for id, want := range map[string]bool{"00000001": true, "aaaaaaaa": false, "bbbbbbbb": true} {
		if _, err := os.Stat(paths.Instance(id)); (err == nil) != want {
			t.Errorf("directory %s: %v, want it there: %v", id, err, want)
		}
	}
	if _, err := os.Stat(paths.Manifest("bbbbbbbb")); err != nil {
		t.Errorf("an instance that nobody knows has lost its manifest: %v", err)
	}
}

func TestACutJournalLineIsPassedOver(t *testing.T) {
	paths := stackIn(t.TempDir())
	lock(t, paths).Close()
	if err := os.WriteFile(paths.Journal(), []byte(`{"seq":1,"address":"vm.a","effect":"start"}`+"\n"+`{"seq":2,"addr`), 0o600); err != nil {
		t.Fatal(err)
	}
	store := lock(t, paths)
	defer store.Close()
	if u := store.Unfinished(); len(u) != 1 || u[0].Address != "vm.a" {
		t.Fatalf("got %+v", u)
	}
}

func TestForgetAndRemoveLeaveNothing(t *testing.T) {
	paths := stackIn(t.TempDir())
	store := lock(t, paths)
	defer store.Close()
	if err := store.Put(instance(1)); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(); err == nil {
		t.Fatal("a stack with a machine was forgotten")
	}
	if err := store.Forget(instance(1).Address, true); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(paths.Dir)
	if err != nil || len(left) != 1 || left[0].Name() != "lock" {
		t.Fatalf("left: %v, %v", left, err)
	}
}

func TestWhatKilledCopiesLeftIsSweptAway(t *testing.T) {
	paths := stackIn(t.TempDir())
	store := lock(t, paths)
	if err := store.PutVolume(state.Volume{Address: "volume.data", ID: "000000aa", Format: "raw"}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"000000aa/disk.raw", "000000aa/disk.raw.part", "000000aa/disk.raw.format", "000000aa/disk.raw.taken.part", // one that was to be replaced
		"000000bb/disk.raw.part",                      // one that was to be imported
		"000000cc/disk.raw", "000000cc/disk.raw.part", // one that was, and nobody wrote it down
		"000000dd/manifest.json", "000000dd/disk.raw.part", // one that the state lost
	} {
		path := filepath.Join(paths.Volumes(), name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	store = lock(t, paths)
	defer store.Close()
	left, err := filepath.Glob(filepath.Join(paths.Volumes(), "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range left {
		left[n] = strings.TrimPrefix(left[n], paths.Volumes()+"/")
	}
	if diff := cmp.Diff([]string{"000000aa/disk.raw", "000000aa/manifest.json", "000000cc/disk.raw", "000000dd/manifest.json"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(paths.Volume("000000bb")); err == nil {
		t.Error("the directory of a volume stayed that never was")
	}
}

func TestAVolumeIsRememberedWhenTheLastMachineIsGone(t *testing.T) {
	paths := stackIn(t.TempDir())
	store := lock(t, paths)
	volume := state.Volume{Address: "volume.data", ID: "000000aa", Format: "raw"}
	if err := store.PutVolume(volume); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(paths.Volume(volume.ID), "disk.raw")
	if err := os.WriteFile(disk, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := store.UnmakeVolume(volume); err == nil {
		t.Error("the directory of a recorded volume was to be removed")
	}
	if err := errors.Join(store.Remove(), store.Close()); err != nil {
		t.Fatal(err)
	}
	known, err := state.Read(paths)
	if err != nil || known.Volumes["volume.data"].ID != volume.ID {
		t.Errorf("known now: %+v, %v", known.Volumes, err)
	}
	if content, err := os.ReadFile(disk); err != nil || string(content) != "precious" {
		t.Errorf("its disk: %q, %v", content, err)
	}
}
