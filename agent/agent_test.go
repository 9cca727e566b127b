package agent_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/agent"
	"github.com/lkup/lkup/spec"
)

// names is a resolver that knows what it is told, and notes what it is asked.
type names struct {
	mu    sync.Mutex
	all   map[string][]netip.Addr
	asked []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, host)
	if found := n.all[host]; found != nil {
		return found, nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// told collects entries.
type told struct {
	mu  sync.Mutex
	all []agent.Entry
}

func (t *told) add(e agent.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, e)
}

// last waits for so many entries, and gives the last of them.
func (t *told) last(tt *testing.T, count int) agent.Entry {
	tt.Helper()
	for limit := time.Now().Add(10 * time.Second); ; {
		t.mu.Lock()
		all := t.all
		t.mu.Unlock()
		if len(all) >= count {
			return all[count-1]
		}
		if time.Now().After(limit) {
			tt.Fatalf("there are not %d entries: %+v", count, all)
		}
		time.Sleep(time.Millisecond)
	}
}

func proxy(t *testing.T, resolver agent.Resolver, entries ...string) (*http.Client, *told, string) {
	t.Helper()
	allow, err := agent.ParseAllow(entries)
	if err != nil {
		t.Fatal(err)
	}
	log := &told{}
	server := httptest.NewServer(&agent.Proxy{Allow: allow, Resolver: resolver, Now: time.Now, Told: log.add})
	t.Cleanup(server.Close)
	at, _ := url.Parse(server.URL)
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(at), DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, log, at.Host
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(body)
}

func TestWhatIsListedIsReachedAndNothingElse(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %q", r.Host, r.URL, r.Header.Get("Proxy-Authorization"))
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "by tunnel") }))
	defer secure.Close()
	_, plainPort, _ := net.SplitHostPort(plain.Listener.Addr().String())
	_, securePort, _ := net.SplitHostPort(secure.Listener.Addr().String())
	loopback := netip.MustParseAddr("127.0.0.1")
	resolver := &names{all: map[string][]netip.Addr{
		"good.example": {loopback}, "secure.example": {loopback}, "inside.example": {netip.MustParseAddr("10.1.2.3")},
		"meta.example": {netip.MustParseAddr("169.254.169.254")}, "mapped.example": {netip.MustParseAddr("::ffff:127.0.0.2")},
	}}
	client, log, _ := proxy(t, resolver,
		"good.example:"+plainPort, "secure.example:"+securePort, "inside.example:80", "meta.example:80", "mapped.example:80",
		"127.0.0.1:"+plainPort, "127.0.0.1:"+securePort)

	status, body := get(t, client, "http://good.example:"+plainPort+"/a?b=c")
	if want := "good.example:" + plainPort + ` /a?b=c ""`; status != 200 || body != want {
		t.Errorf("plain: %d %q, want %q", status, body, want)
	}
	if e := log.last(t, 1); e.Verdict != agent.Allowed || e.Kind != "http" || e.Path != "/a" || e.Received == 0 {
		t.Errorf("its entry: %+v", e)
	}
	if status, body := get(t, client, "https://secure.example:"+securePort+"/"); status != 200 || body != "by tunnel" {
		t.Errorf("tunnel: %d %q", status, body)
	}
	if e := log.last(t, 2); e.Verdict != agent.Allowed || e.Kind != "connect" || e.Sent == 0 || e.Received == 0 {
		t.Errorf("its entry: %+v", e)
	}
	if status, _ := get(t, client, "http://127.0.0.1:"+plainPort+"/"); status != 200 {
		t.Errorf("a listed address: %d", status)
	}
	log.last(t, 3)

	for n, refused := range []string{
		"http://other.example/", "https://other.example/", "http://good.example:81/", "http://sub.good.example:" + plainPort + "/",
		"http://inside.example/", "http://meta.example/", "http://mapped.example/", "http://169.254.169.254/latest/", "http://127.0.0.1:1/",
		"http://[::1]:" + plainPort + "/", "http://[::ffff:7f00:2]:" + plainPort + "/", "http://localhost:" + plainPort + "/", "http://2130706433:" + plainPort + "/", "http://0:" + plainPort + "/", "http://0x7f.1:" + plainPort + "/",
		"http://8.8.8.8/", "https://8.8.8.8/",
	} {
		status, body := get(t, client, refused)
		if status != http.StatusForbidden && !strings.Contains(body, "Forbidden") {
			t.Errorf("%s: %d %q", refused, status, body)
		}
		if e := log.last(t, 4+n); e.Verdict != agent.Refused || e.Why == "" {
			t.Errorf("the entry of %s: %+v", refused, e)
		}
	}
	want := []string{"good.example", "secure.example", "inside.example", "meta.example", "mapped.example"}
	if diff := cmp.Diff(want, resolver.asked); diff != "" {
		t.Errorf("DNS was asked about (-want +got):\n%s", diff)
	}
}

// TestANameThatMeansSomethingElseAMomentLaterIsOfNoUse: the address that was
// checked is the one that is connected to.
func TestANameThatMeansSomethingElseAMomentLaterIsOfNoUse(t *testing.T) {
	reached := make(chan struct{}, 9)
	victim := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer victim.Close()
	_, port, _ := net.SplitHostPort(victim.Listener.Addr().String())
	resolver := &rebinding{}
	client, log, _ := proxy(t, resolver, "evil.example:"+port)
	for n := range 3 {
		_, _ = get(t, client, "http://evil.example:"+port+"/")
		if e := log.last(t, n+1); e.Verdict == agent.Allowed {
			t.Errorf("try %d: %+v", n, e)
		}
	}
	if len(reached) > 0 {
		t.Error("the loopback was reached")
	}
	if resolver.asked != 3 {
		t.Errorf("asked %d times, want once a request", resolver.asked)
	}
}

// rebinding answers with an address of the world that nobody is at, and this
// computer's, in turns.
type rebinding struct{ asked int }

func (r *rebinding) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	r.asked++
	if r.asked%2 == 1 {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return []netip.Addr{netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("::")}, nil
}

func TestOddRequestsAreRefused(t *testing.T) {
	_, log, at := proxy(t, &names{}, "all")
	for n, request := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET ftp://x.example/ HTTP/1.1\r\nHost: x.example\r\n\r\n",
		"CONNECT nohost HTTP/1.1\r\nHost: nohost\r\n\r\n",
		"CONNECT x:99999 HTTP/1.1\r\nHost: x:99999\r\n\r\n",
		"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: public.example:443\r\n\r\n",
		"GET http://x.example/ HTTP/1.1\r\nHost: x.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	} {
		isForbidden(t, at, request)
		log.last(t, n+1)
	}
}

func TestAddressesOfTheWorld(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true,
		"127.0.0.1": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.100.100.200": false,
		"168.63.129.16": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "::1": false, "fe80::1": false, "fd00:ec2::254": false,
		"::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::127.0.0.1": false,
	} {
		if got := agent.World(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

const key = "sk-the-real-key"

func broker(t *testing.T, name, suffix string, limit spec.Budget, api http.HandlerFunc) (string, *told) {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	base, _ := url.Parse(server.URL + suffix)
	log := &told{}
	b := &agent.Broker{Base: base, Key: key, Budget: agent.NewBudget(limit), Now: time.Now, Told: log.add, Transport: agent.NewTransport()}
	for _, known := range agent.APIs() {
		if known.Name == name {
			b.API = known
		}
	}
	front := httptest.NewServer(b)
	t.Cleanup(front.Close)
	return front.URL, log
}

func TestTheRealKeyIsAddedAndNeverComesBack(t *testing.T) {
	for name, header := range map[string]string{"anthropic": "X-Api-Key", "openai": "Authorization"} {
		at, log := broker(t, name, "/base", spec.Budget{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Echo", r.Header.Get(header))
			body, _ := io.ReadAll(r.Body)
			// In pieces, the key among them.
			fmt.Fprintf(w, "%s %s %s cookie=%q key=sk-the", r.Method, r.URL, body, r.Header.Get("Cookie"))
			w.(http.Flusher).Flush()
			fmt.Fprintf(w, "-real-key auth=%s x=%s sk-", r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"))
		})
		request, _ := http.NewRequest(http.MethodPost, at+"/v1/messages?beta=true", strings.NewReader("hello"))
		request.Header.Set("X-Api-Key", agent.Placeholder)
		request.Header.Set("Authorization", "Bearer "+agent.Placeholder)
		request.Header.Set("Cookie", "a=b")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if strings.Contains(string(body), key) || response.Header.Get("X-Echo") != "" {
			t.Errorf("%s: the key came back: %s %s", name, body, response.Header)
		}
		want := "POST /base/v1/messages?beta=true hello cookie=\"\" key=" + agent.Placeholder
		if name == "anthropic" {
			want += " auth= x=" + agent.Placeholder + " sk-"
		} else {
			want += " auth=Bearer " + agent.Placeholder + " x= sk-"
		}
		if string(body) != want {
			t.Errorf("%s: the API saw\n%s, want\n%s", name, body, want)
		}
		e := log.last(t, 1)
		if e.Verdict != agent.Allowed || e.Kind != name || e.Path != "/v1/messages" || e.Sent != 5 || e.Status != 200 {
			t.Errorf("%s: its entry: %+v", name, e)
		}
		if strings.Contains(fmt.Sprint(log.all), key) {
			t.Errorf("%s: the key is in the log", name)
		}
	}
}

func TestAnAnswerThatSaysItsLengthComesWhole(t *testing.T) {
	at, _ := broker(t, "anthropic", "", spec.Budget{}, func(w http.ResponseWriter, r *http.Request) {
		body := "you said " + r.Header.Get("X-Api-Key") + "."
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body)
	})
	if _, body := get(t, http.DefaultClient, at+"/"); body != "you said "+agent.Placeholder+"." {
		t.Errorf("%q", body)
	}
}

func TestEventsComeAsTheyAreSent(t *testing.T) {
	next := make(chan struct{})
	at, _ := broker(t, "anthropic", "", spec.Budget{}, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", n)
			w.(http.Flusher).Flush()
			<-next
		}
	})
	response, err := http.Get(at + "/v1/messages")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	for n := range 3 { // each is read before the next is sent
		line, err := lines.ReadString('\n')
		if err != nil || line != fmt.Sprintf("data: %d\n", n) {
			t.Fatalf("%q %v", line, err)
		}
		_, _ = lines.ReadString('\n')
		next <- struct{}{}
	}
}

func TestTheKeyGoesToOneHostAlone(t *testing.T) {
	other := make(chan string, 9)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { other <- fmt.Sprint(r.Header) }))
	defer elsewhere.Close()
	at, log := broker(t, "anthropic", "/base", spec.Budget{}, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	if status, body := get(t, http.DefaultClient, at+"/v1/models"); status != http.StatusForbidden || !strings.Contains(body, "redirect") {
		t.Errorf("a redirect: %d %q", status, body)
	}
	for n, request := range []string{
		"GET " + elsewhere.URL + "/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n",
		"GET /../secret HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /%2e%2e/secret HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET //evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
	} {
		isForbidden(t, strings.TrimPrefix(at, "http://"), request)
		log.last(t, n+2)
	}
	if len(other) > 0 {
		t.Errorf("another host was reached: %s", <-other)
	}
}

func TestABudgetEnds(t *testing.T) {
	api := func(w http.ResponseWriter, _ *http.Request) {
		for range 40 {
			_, _ = w.Write(make([]byte, 64<<10))
		}
	}
	at, log := broker(t, "anthropic", "", spec.Budget{Requests: 2}, api)
	for n, want := range []int{200, 200, 429, 429} {
		if status, body := get(t, http.DefaultClient, at+"/"); status != want {
			t.Errorf("request %d: %d %.80s", n, status, body)
		}
	}
	if e := log.last(t, 3); e.Verdict != agent.Refused || !strings.Contains(e.Why, "2 requests") {
		t.Errorf("%+v", e)
	}
	at, log = broker(t, "anthropic", "", spec.Budget{Bytes: 1 << 20}, api)
	if _, body := get(t, http.DefaultClient, at+"/"); len(body) > 1<<20 {
		t.Errorf("%d bytes came through", len(body))
	}
	if e := log.last(t, 1); !strings.Contains(e.Why, "budget") {
		t.Errorf("%+v", e)
	}
	if status, _ := get(t, http.DefaultClient, at+"/"); status != 429 {
		t.Errorf("after it: %d", status)
	}
}

func TestTheLogIsReadAsItWasWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	log := agent.OpenLog(path)
	var want []agent.Entry
	for n := range 3 {
		e := agent.Entry{Time: time.Unix(int64(n), 0).UTC(), Kind: "connect", Host: "x", Port: n, Verdict: agent.Refused, Why: "no"}
		want = append(want, e)
		if err := log.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Add(agent.Entry{Host: strings.Repeat("x", 1<<20)}); err != nil {
		t.Fatal(err)
	}
	got, err := agent.ReadLog(path)
	if err != nil || len(got) != 4 {
		t.Fatal(got, err)
	}
	if diff := cmp.Diff(want, got[:3]); diff != "" {
		t.Error(diff)
	}
	if len(got[3].Host) > 600 {
		t.Errorf("a guest filled the log with %d bytes at once", len(got[3].Host))
	}
}

// isForbidden says a request word for word to a server, which must refuse it.
func isForbidden(t *testing.T, at, request string) {
	t.Helper()
	conn, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, request)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Errorf("%q: %v", request, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Errorf("%q: %s", request, response.Status)
	}
}
