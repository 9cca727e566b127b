package porttest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

const reserve = "LKUP_TEST_RESERVE"

// TestMain makes this test binary a process that reserves a block, says which,
// and holds it until its input ends.
func TestMain(m *testing.M) {
	if os.Getenv(reserve) == "" {
		os.Exit(m.Run())
	}
	b, err := Reserve()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(b.First)
	_, _ = os.Stdin.Read(make([]byte, 1)) // until whoever started this closes it, or kills this
	os.Exit(0)
}

func TestNoTwoHaveABlock(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	taken := map[int]string{}
	note := func(first int, who string) {
		t.Helper()
		if before, twice := taken[first]; twice {
			t.Errorf("%s and %s have the ports from %d", before, who, first)
		}
		taken[first] = who
	}
	for n := range 3 {
		note(Of(t).First, fmt.Sprintf("block %d of this process", n))
	}
	for n := range 3 {
		holder := exec.Command(os.Args[0])
		holder.Env = append(os.Environ(), reserve+"=1")
		input, err := holder.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { input.Close() })
		output, err := holder.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := holder.Start(); err != nil {
			t.Fatal(err)
		}
		told, err := bufio.NewReader(output).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		first, err := strconv.Atoi(told[:len(told)-1])
		if err != nil {
			t.Fatal(err)
		}
		note(first, fmt.Sprintf("process %d", n))
		t.Cleanup(func() { _ = holder.Process.Kill(); _ = holder.Wait() })
	}
}

func TestABlockIsFreeAgain(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	first, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	if second := Of(t); second.First != first.First {
		t.Errorf("after a release, the next block is %d, want %d", second.First, first.First)
	}
}

func TestABlockHasNoPortThatIsHeld(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	probe, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	for protocol, listen := range map[string]func(string) (interface{ Close() error }, error){
		"tcp": func(where string) (interface{ Close() error }, error) { return net.Listen("tcp", where) },
		"udp": func(where string) (interface{ Close() error }, error) { return net.ListenPacket("udp", where) },
	} {
		held, err := listen(fmt.Sprintf("127.0.0.1:%d", probe.First+Size-1))
		if err != nil {
			t.Fatal(err)
		}
		_ = probe.Release()
		if got := Of(t); got.First == probe.First {
			t.Errorf("a block whose last %s port is held is given", protocol)
		}
		held.Close()
		probe = Of(t)
	}
}

func TestPortsAreGivenOnce(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b, seen := Of(t), map[int]bool{}
	for range Size / 2 {
		port, err := b.Next()
		if err != nil || seen[port] || port < b.First || port >= b.First+Size/2 {
			t.Fatalf("port %d, %v, of the block from %d", port, err, b.First)
		}
		seen[port] = true
	}
	if port, err := b.Next(); err == nil {
		t.Errorf("port %d is given beyond the block", port)
	}
	if want := fmt.Sprintf("%d-%d", b.First+Size/2, b.First+Size-1); b.Auto() != want {
		t.Errorf("for lkup to choose from: %s, want %s", b.Auto(), want)
	}
}

func TestBlocksLieWhereTheSystemGivesNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "range")
	for told, want := range map[string][2]int{
		"32768\t60999\n": {lowest, highest}, "": {lowest, highest}, "20000 60999": {lowest, 20000}, "1024 50000\n": {50001, 65536}, "12000 60999\n": {61000, 65536},
	} {
		if err := os.WriteFile(file, []byte(told), 0o600); err != nil {
			t.Fatal(err)
		}
		if first, end := span(readRange(file)); first != want[0] || end != want[1] {
			t.Errorf("%q: blocks from %d to %d, want %v", told, first, end, want)
		}
	}
}
