package download_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
)

// TestMain lets the test binary be a process that downloads, to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DOWNLOAD_TEST_STORE"); dir != "" {
		s, err := store.Open(dir)
		if err == nil {
			_, err = download.New(download.Settings{Store: s}).Get(context.Background(), download.Request{URL: os.Getenv("DOWNLOAD_TEST_URL")}, nil)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// content is a file of n bytes that no other seed gives.
func content(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func digest(b []byte) sources.Digest {
	return sources.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(b)))
}

type env struct {
	*testing.T
	cdn    *sourcetest.CDN
	store  *store.Store
	client *download.Client
}

func setUp(t *testing.T, change ...func(*download.Settings)) env {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	settings := download.Settings{Store: s, Idle: 20 * time.Second, Pause: time.Millisecond, MaxSize: 8 << 20}
	for _, c := range change {
		c(&settings)
	}
	return env{T: t, cdn: sourcetest.NewCDN(t, false), store: s, client: download.New(settings)}
}

func (e env) get(r download.Request) (download.Got, error) {
	e.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return e.client.Get(ctx, r, nil)
}

// want demands that a request gives the content, and leaves no part.
func (e env) want(r download.Request, b []byte) download.Got {
	e.Helper()
	got, err := e.get(r)
	if err != nil {
		e.Fatal(err)
	}
	path, ok := e.store.Blob(got.Digest)
	if have, err := os.ReadFile(path); !ok || err != nil || !bytes.Equal(have, b) {
		e.Fatalf("got %s: %d bytes, %v, want %d", got.Digest, len(have), err, len(b))
	}
	e.nothingLeft()
	return got
}

// refused demands an error with a text.
func (e env) refused(r download.Request, text string) error {
	e.Helper()
	got, err := e.get(r)
	if err == nil || !strings.Contains(err.Error(), text) {
		e.Fatalf("want an error with %q, got %v, %v", text, got, err)
	}
	blobs, globbing := filepath.Glob(filepath.Join(e.store.Dir("blobs"), "sha256", "*"))
	if globbing != nil || len(blobs) > 0 {
		e.Fatalf("what was refused was kept: %v", blobs)
	}
	return err
}

func (e env) parts() []string {
	left, err := filepath.Glob(filepath.Join(e.store.Dir(store.Downloads), "*"))
	if err != nil {
		e.Fatal(err)
	}
	return left
}

func (e env) nothingLeft() {
	e.Helper()
	if left := e.parts(); len(left) > 0 {
		e.Errorf("left: %v", left)
	}
}

// ranges are the Range headers that a path was asked with.
func (e env) ranges(path string) []string {
	var all []string
	for _, r := range e.cdn.Seen(path) {
		all = append(all, r.Header.Get("Range"))
	}
	return all
}

func TestAFileComesWholeAndOnce(t *testing.T) {
	e, b := setUp(t), content(1, 3<<20)
	address := e.cdn.Put("/disk", b)
	var last sources.Progress
	got, err := e.client.Get(context.Background(), download.Request{URL: address, Want: digest(b), What: "disk"}, func(p sources.Progress) { last = p })
	if err != nil || got.Digest != digest(b) {
		t.Fatalf("got %v, %v", got, err)
	}
	if want := (sources.Progress{What: "disk", Done: 3 << 20, Total: 3 << 20}); last != want {
		t.Errorf("the last progress is %v, want %v", last, want)
	}
	e.want(download.Request{URL: address, Want: digest(b)}, b)
	if n := len(e.cdn.Seen("/disk")); n != 1 {
		t.Errorf("it was asked for %d times", n)
	}
}

func TestAnEmptyFileIsAFile(t *testing.T) {
	e := setUp(t)
	address := e.cdn.Put("/empty", []byte{})
	e.want(download.Request{URL: address}, nil)
}

func TestWhatIsUnchangedIsNotDownloadedAgain(t *testing.T) {
	e := setUp(t)
	address := e.cdn.Put("/disk", content(1, 1000))
	first := e.want(download.Request{URL: address}, content(1, 1000))
	second, err := e.get(download.Request{URL: address, Known: first.Validator})
	if err != nil || !second.Unchanged {
		t.Errorf("got %v, %v", second, err)
	}
	e.cdn.Put("/disk", content(2, 1000))
	e.want(download.Request{URL: address, Known: first.Validator}, content(2, 1000))
}

func TestACutConnectionIsResumed(t *testing.T) {
	e, b := setUp(t), content(1, 1<<20)
	cuts := []int{300_000, 200_000, 70_000}
	address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
		if len(cuts) > 0 {
			w = &sourcetest.Cut{ResponseWriter: w, After: cuts[0]}
			cuts = cuts[1:]
		}
		e.cdn.Serve(w, r, b)
	})
	e.want(download.Request{URL: address}, b)
	want := "[ bytes=300000- bytes=500000- bytes=570000-]"
	if got := fmt.Sprint(e.ranges("/disk")); got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
}

func TestAConnectionThatBreaksAgainAndAgainEnds(t *testing.T) {
	e, b := setUp(t), content(1, 1<<20)
	address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
		e.cdn.Serve(&sourcetest.Cut{ResponseWriter: w, After: 10}, r, b)
	})
	_ = e.refused(download.Request{URL: address}, "after 5 attempts")
	if n := len(e.cdn.Seen("")); n != 5 {
		t.Errorf("%d attempts", n)
	}
	// The next run goes on from there.
	e.cdn.Handle("/disk", nil)
	e.cdn.Put("/disk", b)
	e.want(download.Request{URL: address}, b)
	if got := e.ranges("/disk"); got[5] != "bytes=50-" {
		t.Errorf("asked for %v", got)
	}
}

// waitFor polls, within bounds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !holds(); {
		if time.Now().After(limit) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// A process is killed in the middle of a download; the next goes on.
func TestAKilledProcessLeavesWhatTheNextGoesOnFrom(t *testing.T) {
	for _, c := range []struct {
		name         string
		then         []byte // what the server has by then
		wantedRanges string
	}{
		{"of the same", content(1, 1<<20), "[ bytes=524288-]"},
		{"of what has changed since", content(2, 1<<20), "[ bytes=524288-]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e, half := setUp(t), 512<<10
			stalled := make(chan struct{})
			defer close(stalled)
			address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					e.cdn.Serve(w, r, c.then)
					return
				}
				w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(content(1, 1<<20)))[:16]))
				w.Header().Set("Content-Length", fmt.Sprint(1<<20))
				_, _ = w.Write(content(1, 1<<20)[:half])
				_ = http.NewResponseController(w).Flush()
				select {
				case <-stalled:
				case <-r.Context().Done():
				}
			})
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), "DOWNLOAD_TEST_STORE="+filepath.Dir(e.store.Dir("x")), "DOWNLOAD_TEST_URL="+address)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "half of it came", func() bool {
				for _, path := range e.parts() {
					if info, err := os.Stat(path); err == nil && info.Size() == int64(half) {
						return true
					}
				}
				return false
			})
			if err := child.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = child.Wait()
			if blobs, _ := filepath.Glob(filepath.Join(e.store.Dir("blobs"), "sha256", "*")); len(blobs) > 0 {
				t.Fatalf("half a file was taken for whole: %v", blobs)
			}
			e.want(download.Request{URL: address}, c.then)
			if got := fmt.Sprint(e.ranges("/disk")); got != c.wantedRanges {
				t.Errorf("asked for %s", got)
			}
		})
	}
}

func TestAPartOfAnotherContentIsNotJoined(t *testing.T) {
	b, other := content(1, 1<<20), content(2, 1<<20)
	for name, goOn := range map[string]http.HandlerFunc{
		// Neither says that the content changed; the digest does.
		"by a server without validators": func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
		},
		"by a server that does not know ranges": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) },
		"by a server that begins elsewhere": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				_, _ = w.Write(b)
				return
			}
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(b)-1, len(b)))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(b)
		},
		"by a server that has less now": func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" {
				_, _ = w.Write(b)
				return
			}
			w.Header().Set("Content-Range", "bytes */7")
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := setUp(t)
			tries := 0
			address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
				if tries++; tries > 1 {
					goOn(w, r)
					return
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(other)))
				_, _ = (&sourcetest.Cut{ResponseWriter: w, After: 300_000}).Write(other)
			})
			e.want(download.Request{URL: address, Want: digest(b)}, b)
		})
	}
}

// Without a digest to go by, only the server's own words tell.
func TestAPartThatDoesNotFitIsGivenUp(t *testing.T) {
	b := content(1, 1<<20)
	for name, second := range map[string]map[string]string{
		"from another place":          {"ETag": `"a"`, "Content-Range": "bytes 0-1048575/1048576"},
		"of another size":             {"ETag": `"a"`, "Content-Range": "bytes 300000-1048575/2000000"},
		"of another content":          {"ETag": `"b"`, "Content-Range": "bytes 300000-1048575/1048576"},
		"from who does not say where": {"ETag": `"a"`},
	} {
		t.Run(name, func(t *testing.T) {
			e, tries := setUp(t), 0
			address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
				switch tries++; tries {
				case 1:
					w.Header().Set("ETag", `"a"`)
					w.Header().Set("Content-Length", fmt.Sprint(len(b)))
					_, _ = (&sourcetest.Cut{ResponseWriter: w, After: 300_000}).Write(b)
				case 2:
					for name, value := range second {
						w.Header().Set(name, value)
					}
					w.WriteHeader(http.StatusPartialContent)
					_, _ = w.Write(content(2, 1<<20)[300_000:])
				default:
					e.cdn.Serve(w, r, b)
				}
			})
			e.want(download.Request{URL: address}, b)
		})
	}
}

func TestAPartThatIsWholeIsOnlyChecked(t *testing.T) {
	e, b := setUp(t), content(1, 300_000)
	address := e.cdn.Put("/disk", b)
	// All of it came, and the process died before it could say so.
	e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(b)+1))
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(b))[:16]))
		_, _ = w.Write(b)
		panic(http.ErrAbortHandler)
	})
	ctx, cancel := context.WithCancel(context.Background())
	_, err := e.client.Get(ctx, download.Request{URL: address}, func(p sources.Progress) {
		if p.Done == int64(len(b)) {
			cancel()
		}
	})
	if err == nil {
		t.Fatal("a file that lacks a byte was taken for whole")
	}
	e.cdn.Handle("/disk", nil)
	e.want(download.Request{URL: address}, b)
}

func TestWhatIsNotWhatWasAskedForLeavesNothing(t *testing.T) {
	other := content(2, 300_000)
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		request download.Request
		want    string
	}{
		"another digest":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other) }, download.Request{Want: digest([]byte("x"))}, "not " + digest([]byte("x")).Hex()},
		"another size":           {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other[:1000]) }, download.Request{Size: 999}, "1000 bytes instead of 999"},
		"more than it says":      {endless, download.Request{Size: 5000}, "more than the 5000 bytes"},
		"a body without an end":  {endless, download.Request{}, "more than the 8388608 bytes"},
		"a size beyond all":      {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "9000000000") }, download.Request{}, "9000000000 bytes, and 8388608 are allowed"},
		"larger than the caller": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(other[:1000]) }, download.Request{Limit: 10}, "10 are allowed"},
		"not found":              {http.NotFound, download.Request{}, "answers 404 Not Found"},
		"a redirect to nowhere":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, download.Request{}, "answers 302 Found"},
	} {
		t.Run(name, func(t *testing.T) {
			e := setUp(t)
			c.request.URL = e.cdn.Handle("/disk", c.handler)
			_ = e.refused(c.request, c.want)
			e.nothingLeft()
		})
	}
}

func endless(w http.ResponseWriter, _ *http.Request) {
	block := make([]byte, 64<<10)
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func TestASilentServerIsNotWaitedForForEver(t *testing.T) {
	for name, first := range map[string]int{"from the start": 0, "in the middle": 1000} {
		t.Run(name, func(t *testing.T) {
			e := setUp(t, func(s *download.Settings) { s.Idle = 50 * time.Millisecond })
			address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "2000")
				if first > 0 {
					_, _ = w.Write(make([]byte, first))
					_ = http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			_ = e.refused(download.Request{URL: address}, "said nothing for 50ms")
		})
	}
}

func TestAServerThatIsDownForAMomentIsAskedAgain(t *testing.T) {
	e, b := setUp(t), content(1, 1000)
	tries := 0
	address := e.cdn.Handle("/disk", func(w http.ResponseWriter, r *http.Request) {
		if tries++; tries < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		e.cdn.Serve(w, r, b)
	})
	e.want(download.Request{URL: address}, b)

	e.cdn.Handle("/busy", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	_, err := e.get(download.Request{URL: e.cdn.URL + "/busy"})
	var status *download.StatusError
	if !errors.As(err, &status) || status.RetryAfter != time.Hour || !strings.Contains(err.Error(), "asks to wait 1h0m0s") {
		t.Errorf("got %v", err)
	}
	if n := len(e.cdn.Seen("/busy")); n != 1 {
		t.Errorf("asked %d times in spite of that", n)
	}
}

func TestOnlyHTTPSLeavesThisComputer(t *testing.T) {
	e := setUp(t)
	for address, want := range map[string]string{
		"http://example.org/disk":      "write https://example.org",
		"http://10.0.0.1/disk":         "plain http is for this computer alone",
		"http://localhost.evil/disk":   "plain http is for this computer alone",
		"ftp://example.org/disk":       `"ftp" is no scheme`,
		"file:///etc/passwd":           `"file" is no scheme`,
		"https:///disk":                "names no host",
		"https://exa mple.org":         "no URL",
		"http://[fe80::1]/disk":        "plain http is for this computer alone",
		"http://127.0.0.1.nip.io/disk": "plain http is for this computer alone",
	} {
		_ = e.refused(download.Request{URL: address}, want)
	}
}

func TestRedirects(t *testing.T) {
	secure := sourcetest.NewCDN(t, true)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	e := setUp(t, func(s *download.Settings) { s.RootCAs = roots })
	b := content(1, 1000)
	target := e.cdn.Put("/target", b)
	secureTarget := secure.Put("/target", b)
	paths := 0
	redirect := func(from *sourcetest.CDN, to string) string {
		paths++
		return from.Handle(fmt.Sprintf("/redirect%d", paths), func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to, http.StatusFound)
		})
	}
	for name, c := range map[string]struct{ address, want string }{
		"to plain http":            {redirect(secure, target), "not https"},
		"to another scheme":        {redirect(e.cdn, "ftp://127.0.0.1/x"), `"ftp" is no scheme`},
		"to a file":                {redirect(e.cdn, "file:///etc/passwd"), `"file" is no scheme`},
		"to plain http far away":   {redirect(e.cdn, "http://example.org/x"), "plain http is for this computer alone"},
		"in a circle":              {e.cdn.Handle("/circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/circle", http.StatusFound) }), "more than 10 times"},
		"of https to a plain file": {redirect(secure, "file:///etc/passwd"), "not https"},
	} {
		t.Run(name, func(t *testing.T) {
			e := env{T: t, cdn: e.cdn, store: e.store, client: e.client}
			_ = e.refused(download.Request{URL: c.address}, c.want)
			if n := len(e.cdn.Seen("/target")); n > 0 {
				t.Errorf("the target was asked %d times", n)
			}
		})
	}
	t.Run("by nobody that the host knows", func(t *testing.T) {
		_ = setUp(t).refused(download.Request{URL: secureTarget}, "certificate")
	})
	e.want(download.Request{URL: redirect(e.cdn, secureTarget)}, b)
}

func TestACredentialStaysWithItsHost(t *testing.T) {
	e, b := setUp(t), content(1, 1000)
	storage := sourcetest.NewCDN(t, false) // the same name, another port
	target := storage.Put("/target", b)
	address := e.cdn.Handle("/private", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	e.cdn.Handle("/again", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
	header := http.Header{"Authorization": {"Bearer hunter2"}, "Cookie": {"hunter2"}}
	e.want(download.Request{URL: address + "?key=hunter2", Header: header}, b)
	if got := e.cdn.Seen("/again")[0].Header.Get("Authorization"); got != "Bearer hunter2" {
		t.Errorf("the host itself was sent %q", got)
	}
	for name, values := range storage.Seen("/target")[0].Header {
		if strings.Contains(strings.Join(values, " "), "hunter2") {
			t.Errorf("another host was sent %s: %v", name, values)
		}
	}
	if err := e.refused2(download.Request{URL: e.cdn.URL + "/nowhere?key=hunter2"}); strings.Contains(err.Error(), "hunter2") {
		t.Errorf("an error shows a secret: %v", err)
	}
}

// refused2 is any error.
func (e env) refused2(r download.Request) error {
	e.Helper()
	_, err := e.get(r)
	if err == nil {
		e.Fatal("it came")
	}
	return err
}

func TestAProxyIsUsed(t *testing.T) {
	b := content(1, 1000)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "localhost:1" {
			t.Errorf("the proxy was asked for %s", r.URL)
		}
		_, _ = w.Write(b)
	}))
	defer proxy.Close()
	at, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	e := setUp(t, func(s *download.Settings) { s.Proxy = http.ProxyURL(at) })
	e.want(download.Request{URL: "http://localhost:1/disk"}, b)
}

func TestNobodyThereIsSaidAtOnce(t *testing.T) {
	e := setUp(t, func(s *download.Settings) { s.Pause = time.Hour })
	_ = e.refused(download.Request{URL: "http://127.0.0.1:1/disk"}, "connection refused")
}

// A proxy that refuses is how the network is kept off.
func TestOfflineIsSaidAtOnce(t *testing.T) {
	e := setUp(t, func(s *download.Settings) {
		s.Pause = time.Hour
		s.Proxy = func(*http.Request) (*url.URL, error) { return nil, sources.ErrOffline }
	})
	if err := e.refused(download.Request{URL: "https://example.org/disk"}, ""); !errors.Is(err, sources.ErrOffline) {
		t.Errorf("got %v", err)
	}
	if _, err := e.client.Ask(context.Background(), "https://example.org/disk", nil, 1); !errors.Is(err, sources.ErrOffline) {
		t.Errorf("got %v", err)
	}
}

func TestASmallAnswerIsBounded(t *testing.T) {
	e := setUp(t)
	address := e.cdn.Put("/small", []byte("hello"))
	answer, err := e.client.Ask(context.Background(), address, nil, 5)
	if err != nil || string(answer.Body) != "hello" || answer.Status != http.StatusOK {
		t.Errorf("got %v, %v", answer, err)
	}
	if _, err := e.client.Ask(context.Background(), address, nil, 4); err == nil {
		t.Error("an answer beyond the limit was taken")
	}
	e.cdn.Handle("/cut", func(w http.ResponseWriter, r *http.Request) {
		e.cdn.Serve(&sourcetest.Cut{ResponseWriter: w, After: 2}, r, []byte("hello"))
	})
	if answer, err := e.client.Ask(context.Background(), e.cdn.URL+"/cut", nil, 9); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, %v", answer, err)
	}
}
