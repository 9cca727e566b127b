package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// telling tells of each time that it is read from.
type telling struct {
	io.Reader
	asked chan<- struct{}
}

func (t telling) Read(p []byte) (int, error) {
	t.asked <- struct{}{}
	return t.Reader.Read(p)
}

func TestWhatIsTypedAfterASessionIsNotTheSessions(t *testing.T) {
	in, typist := io.Pipe()
	asked := make(chan struct{}, 9)
	k := newKeys(telling{in, asked})
	over, end := context.WithCancel(t.Context())
	session := k.until(over)
	go func() { _, _ = io.WriteString(typist, "to the session\n") }()
	text := make([]byte, 3)
	if n, err := session.Read(text); string(text[:n]) != "to " || err != nil {
		t.Fatalf("the session got %q, %v", text[:n], err)
	}
	text = make([]byte, 100)
	if n, err := session.Read(text); string(text[:n]) != "the session\n" || err != nil {
		t.Fatalf("the session got %q, %v", text[:n], err)
	}
	rest := make(chan string)
	go func() {
		text, _ := io.ReadAll(session) // waits for more
		rest <- string(text)
	}()
	<-asked // for the first, and for more
	<-asked
	end()
	if got := <-rest; got != "" {
		t.Errorf("the session got %q", got)
	}
	go func() { _, _ = io.WriteString(typist, "yes\n") }()
	if answer, err := readLine(t.Context(), k.until(t.Context())); answer != "yes" || err != nil {
		t.Errorf("the answer is %q, %v", answer, err)
	}
}

func TestWhatASessionLeftIsNotTakenByItAfterItsEnd(t *testing.T) {
	k := newKeys(strings.NewReader("to the session, yes\n"))
	over, end := context.WithCancel(t.Context())
	session := k.until(over)
	text := make([]byte, len("to the session, "))
	if n, err := session.Read(text); n != len(text) || err != nil {
		t.Fatalf("the session got %q, %v", text[:n], err)
	}
	end()
	if n, err := session.Read(text); n != 0 || err != io.EOF {
		t.Errorf("after its end the session got %q, %v", text[:n], err)
	}
	if answer, err := readLine(t.Context(), k.until(t.Context())); answer != "yes" || err != nil {
		t.Errorf("the answer is %q, %v", answer, err)
	}
}

func TestTheOperatingSystemIsAskedOnceForWhatIsTyped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, typist := io.Pipe()
		asked := make(chan struct{}, 9)
		k := newKeys(telling{in, asked})
		for range 3 { // sessions in which nobody types
			over, end := context.WithCancel(t.Context())
			go func() { _, _ = k.until(over).Read(make([]byte, 1)) }()
			synctest.Wait()
			end()
			synctest.Wait()
		}
		if len(asked) != 1 {
			t.Errorf("it was asked %d times", len(asked))
		}
		_ = typist.Close()
		synctest.Wait()
	})
}
