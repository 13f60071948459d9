package httpx

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, c *http.Client, rawURL string) (*http.Response, error) {
	t.Helper()
	t.Cleanup(c.CloseIdleConnections)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, rawURL, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(r)
	if err == nil {
		t.Cleanup(func() { _ = res.Body.Close() })
	}
	return res, err
}

// spread returns addresses from the beginning, the end and between of a range.
func spread(prefix string, n int) []netip.Addr {
	p := netip.MustParsePrefix(prefix)
	b := p.Masked().Addr().AsSlice()
	var out []netip.Addr
	for i := range n {
		c := append([]byte(nil), b...)
		for bit := p.Bits(); bit < len(c)*8; bit++ {
			set := i == n-1 || i > 0 && (bit*7+i*13)%3 == 0
			if set {
				c[bit/8] |= 0x80 >> (bit % 8)
			}
		}
		a, _ := netip.AddrFromSlice(c)
		out = append(out, a)
	}
	return out
}

var badRanges = []string{
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
}

var badRanges6 = []string{"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001:db8::/32", "64:ff9b:1::/48", "100::/64", "5f00::/16"}

// disguises of an IPv4 address inside an IPv6 one.
func disguises(a netip.Addr) []string {
	b := a.As4()
	hex := fmt.Sprintf("%02x%02x:%02x%02x", b[0], b[1], b[2], b[3])
	return []string{
		a.String(),
		"::ffff:" + a.String(),
		"::ffff:" + hex,
		"64:ff9b::" + hex,
		"2002:" + hex + "::1",
		fmt.Sprintf("2001:0:4136:e378:8000:63bf:%02x%02x:%02x%02x", ^b[0], ^b[1], ^b[2], ^b[3]),
		"::" + hex,
		"2400:cb00::5efe:" + hex,
		"2400:cb00::200:5efe:" + hex,
	}
}

// TF01: none of these is dialled, whether it stands in the address or a
// resolver answers with it.
func TestPrivateAddressesAreNeverDialled(t *testing.T) {
	var bad []string
	for _, r := range badRanges {
		for _, a := range spread(r, 4) {
			bad = append(bad, disguises(a)...)
		}
	}
	for _, r := range badRanges6 {
		for _, a := range spread(r, 4) {
			bad = append(bad, a.String())
		}
	}
	bad = append(bad, "::1", "::", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "169.254.169.254", "255.255.255.255")
	if len(bad) < 500 {
		t.Fatalf("only %d addresses", len(bad))
	}
	for _, s := range bad {
		ip, err := netip.ParseAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		res := &fixed{ips: []netip.Addr{ip}}
		for rawURL, o := range map[string]Options{
			"https://[" + ip.String() + "]/":        {Timeout: time.Second},
			"https://hook.example.net/" + "?x=" + s: {Timeout: time.Second, Resolver: res},
		} {
			if ip.Is4() {
				rawURL = strings.NewReplacer("[", "", "]", "").Replace(rawURL)
			}
			if _, err := get(t, New(o), rawURL); !errors.Is(err, ErrForbidden) {
				t.Errorf("%s: got %v, want ErrForbidden", rawURL, err)
			}
		}
	}
}

func TestPublicAddressesAreNotForbidden(t *testing.T) {
	for _, s := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
		"169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
		"47.96.1.7", "2606:4700::1111", "2400:3200::1", "64:ff9b::808:808", "2002:808:808::1", "::ffff:8.8.8.8",
	} {
		if is := forbidden(netip.MustParseAddr(s), false); is != "" {
			t.Errorf("%s is %s", s, is)
		}
	}
}

func TestAllowPrivateOpensPrivateRangesOnly(t *testing.T) {
	for s, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.1.2.3": true, "172.16.0.1": true, "192.168.1.1": true, "100.64.0.1": true, "fd12::1": true,
		"::ffff:127.0.0.1": true, "8.8.8.8": true,
		"169.254.169.254": false, "fe80::1": false, "0.0.0.0": false, "::": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
		"100.100.100.200": false, "fd00:ec2::254": false, "fd20:ce::254": false, "::ffff:169.254.169.254": false,
		"64:ff9b::7f00:1": false, "2002:a00:1::1": false, "168.63.129.16": false,
	} {
		if got := forbidden(netip.MustParseAddr(s), true) == ""; got != want {
			t.Errorf("%s: allowed %v, want %v", s, got, want)
		}
	}
}

// TF01, TF04: addresses in disguise, odd schemes, ports and names.
func TestOddAddressesAreRefusedBeforeAnyLookUp(t *testing.T) {
	bad := []string{
		"http://hook.example.net/", "ftp://hook.example.net/", "gopher://hook.example.net/", "file:///etc/passwd", "unix:///run/x.sock",
		"dict://hook.example.net/", "data:text/plain,x", "javascript:1", "//hook.example.net/", "/path", "https://", "https:///x", "https://:443/",
		"https://user@hook.example.net/", "https://user:pw@hook.example.net/", "https://hook.example.net@10.0.0.1/", "https://@hook.example.net/",
		"https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://017700000001/", "https://127.1/", "https://127.0.1/", "https://0/",
		"https://0177.0.0.1/", "https://0x7f.0.0.1/", "https://127.0.0.0x1/", "https://1.2.3.4.5/", "https://127.0.0.1./",
		"https://hook.example.net./", "https://.hook.example.net/", "https://hook..example.net/", "https://hook.example.0x7f/",
		"https://127。0。0。1/", "https://①②⑦.⓪.⓪.①/", "https://127.0.0.1/", "https://exаmple.net/", "https://例子.测试/",
		"https://[fe80::1%25eth0]/", "https://[::1%25lo]/", "https://[2606:4700::1111%251]/",
		"https://hook.example.net%00.evil/", "https://" + strings.Repeat("a", 64) + ".net/", "https://" + strings.Repeat("a.", 130) + "net/",
	}
	for _, port := range []int{0, 1, 21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 389, 445, 465, 587, 631, 993, 2049, 2375, 2379, 3000, 3306, 5432, 5601, 5672, 6379, 6443, 8000, 8080, 8500, 9000, 9090, 9200, 10250, 11211, 15672, 27017, 65535} {
		bad = append(bad, fmt.Sprintf("https://hook.example.net:%d/", port))
	}
	for _, raw := range bad {
		res := &fixed{ips: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
		u, err := url.Parse(raw)
		if err != nil {
			continue // net/http cannot even be asked
		}
		_, err = get(t, New(Options{Resolver: res, Timeout: time.Second}), u.String())
		if err == nil {
			t.Errorf("%s: was fetched", raw)
		}
		if n := res.asked.Load(); n != 0 {
			t.Errorf("%s: its name was looked up", raw)
		}
	}
}

func TestPlainAddressesPassTheFirstCheck(t *testing.T) {
	o := New(Options{}).Transport.(*transport).o
	for _, raw := range []string{
		"https://hook.example.net/", "https://hook.example.net:8443/x?y=z", "https://HOOK.example.NET/", "https://xn--fsqu00a.xn--0zwm56d/",
		"https://a_b.example.net/", "https://1.1.1.1/", "https://[2606:4700::1111]/", "https://3com.example.net/", "https://localhost/",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.checkURL(u); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

type fixed struct {
	ips   []netip.Addr
	asked atomic.Int64
}

func (f *fixed) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	f.asked.Add(1)
	return f.ips, nil
}

// flip answers with a public address and a private one in turn.
type flip struct{ n atomic.Int64 }

func (f *flip) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	if f.n.Add(1)%2 == 1 {
		return []netip.Addr{netip.MustParseAddr("203.0.113.9")}, nil // refused as well, so that no test leaves the machine
	}
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// TF02: an answer that changes between look-ups gains nothing, for what is
// checked is the address that is connected to.
func TestRebindingReachesNothingPrivate(t *testing.T) {
	var hits atomic.Int64
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	res := &flip{}
	c := New(Options{Resolver: res, Ports: []string{port}, Timeout: time.Second})
	for range 1000 {
		if _, err := get(t, c, "https://rebind.example.net:"+port+"/"); !errors.Is(err, ErrForbidden) {
			t.Fatalf("got %v, want ErrForbidden", err)
		}
	}
	if hits.Load() != 0 || res.n.Load() != 1000 {
		t.Errorf("got %d hits and %d look-ups, want 0 and 1000", hits.Load(), res.n.Load())
	}
}

// One good address among bad ones does not make the bad ones good.
func TestEveryAddressOfAnAnswerIsChecked(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer s.Close()
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	res := &fixed{ips: []netip.Addr{netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("127.0.0.1")}}
	if _, err := get(t, New(Options{Resolver: res, AllowPrivate: true}), "http://two.example.net:"+port+"/"); err != nil {
		t.Errorf("the allowed address was not tried: %v", err)
	}
	if _, err := get(t, New(Options{Resolver: res, Ports: []string{port}}), "https://two.example.net:"+port+"/"); !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
}

func TestAllowHostsNamesHostAndPort(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer s.Close()
	addr := s.Listener.Addr().String()
	for host, want := range map[string]bool{addr: true, "127.0.0.1": true, "127.0.0.1:1": false, "localhost": false, "127.0.0.2": false} {
		_, err := get(t, New(Options{AllowHosts: []string{host}}), s.URL)
		if got := err == nil; got != want {
			t.Errorf("AllowHosts %s: got %v, want allowed=%v", host, err, want)
		}
	}
	if _, err := get(t, New(Options{AllowHosts: []string{addr}}), "http://user:pw@"+addr); !errors.Is(err, ErrForbidden) {
		t.Errorf("a trusted host with a user name: got %v", err)
	}
}

// TF03: a redirect is an answer, and nothing is sent to where it points.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var second atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { second.Add(1) }))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{other.URL, "/elsewhere", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"} {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					second.Add(1)
				}
				w.Header().Set("Location", to)
				w.WriteHeader(code)
			}))
			res, err := get(t, New(Options{AllowPrivate: true}), s.URL+"/")
			if err != nil || res.StatusCode != code {
				t.Errorf("%d to %s: got %v %v, want the redirect itself", code, to, res, err)
			}
			s.Close()
		}
	}
	if second.Load() != 0 {
		t.Errorf("%d redirects were followed", second.Load())
	}
}

// TF05
func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	var hits atomic.Int64
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer proxy.Close()
	for _, k := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(k, proxy.URL)
	}
	c := New(Options{Resolver: &fixed{ips: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}})
	if _, err := get(t, c, "https://hook.example.net/"); !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v, want ErrForbidden", err)
	}
	if c.Transport.(*transport).next.Proxy != nil || hits.Load() != 0 {
		t.Errorf("a proxy is set, or was asked %d times", hits.Load())
	}
}

// TF07
func TestLongAnswersAreCutWithAnError(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("n"))
		body := strings.Repeat("a", n)
		if r.URL.Query().Has("zip") {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, body)
			_ = z.Close()
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	defer s.Close()
	for _, tt := range []struct {
		query string
		max   int64
		size  int
		err   error
	}{
		{"n=0", 100, 0, nil},
		{"n=99", 100, 99, nil},
		{"n=100", 100, 100, nil},
		{"n=101", 100, 100, ErrTooLarge},
		{"n=65536", 0, 65536, nil},
		{"n=65537", 0, 65536, ErrTooLarge},
		{"n=9000000&zip", 0, 65536, ErrTooLarge},
		{"n=300000", -1, 300000, nil},
	} {
		res, err := get(t, New(Options{AllowPrivate: true, MaxBody: tt.max}), s.URL+"/?"+tt.query)
		if err != nil {
			t.Fatal(err)
		}
		data, err := ReadAll(res.Body)
		if len(data) != tt.size || !errors.Is(err, tt.err) {
			t.Errorf("%+v: got %d bytes, %v", tt, len(data), err)
		}
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := range 40 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("h", 1000))
		}
	}))
	defer s.Close()
	if _, err := get(t, New(Options{AllowPrivate: true}), s.URL); err == nil {
		t.Error("40 KB of header were read")
	}
	if _, err := get(t, New(Options{AllowPrivate: true, MaxHeader: 64 << 10}), s.URL); err != nil {
		t.Errorf("MaxHeader is not used: %v", err)
	}
}

func TestAnAnswerThatDripsRunsIntoTheTimeout(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer s.Close()
	res, err := get(t, New(Options{AllowPrivate: true, Timeout: 100 * time.Millisecond}), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var ne net.Error
	if _, err := ReadAll(res.Body); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("got %v, want a timeout", err)
	}
}

func TestUserAgentIsSetUnlessGiven(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.UserAgent()) }))
	defer s.Close()
	for _, tt := range []struct{ option, header, want string }{
		{"", "", "Paidan"}, {"Paidan/1.2", "", "Paidan/1.2"}, {"Paidan/1.2", "mine", "mine"},
	} {
		c := New(Options{AllowPrivate: true, UserAgent: tt.option})
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if tt.header != "" {
			r.Header.Set("User-Agent", tt.header)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if data, err := ReadAll(res.Body); string(data) != tt.want || err != nil {
			t.Errorf("%+v: got %q %v", tt, data, err)
		}
		if tt.header == "" && r.Header.Get("User-Agent") != "" {
			t.Error("the caller's request was changed")
		}
		c.CloseIdleConnections()
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"0": 0, "1": time.Second, " 30 ": 30 * time.Second, "1.5": 1500 * time.Millisecond, "3600": time.Hour,
		"3601": time.Hour, "99999999999999999999": time.Hour, "1e300": time.Hour, "+Inf": time.Hour, "-5": 0, "-Inf": 0,
		"Sun, 01 Mar 2026 12:00:10 GMT": 10 * time.Second, "Sun, 01 Mar 2026 11:00:00 GMT": 0, "Fri, 01 Mar 2126 12:00:00 GMT": time.Hour,
		"Sunday, 01-Mar-26 12:01:00 GMT": time.Minute,
	} {
		got, ok := RetryAfter(http.Header{"Retry-After": {v}}, now)
		if got != want || !ok {
			t.Errorf("%q: got %v %v, want %v", v, got, ok, want)
		}
	}
	for _, v := range []string{"", " ", "soon", "NaN", "1h", "2026-03-01", "10 20", "Sun, 32 Mar 2026 12:00:00 GMT"} {
		if got, ok := RetryAfter(http.Header{"Retry-After": {v}}, now); ok || got != 0 {
			t.Errorf("%q: got %v, want nothing", v, got)
		}
	}
	if _, ok := RetryAfter(http.Header{}, now); ok {
		t.Error("got something from no header")
	}
}

// TE15: whatever goes wrong, the error tells no secret.
func TestErrorsShowNoSecret(t *testing.T) {
	const token = "xoxb-4815162342-Qr7tVb/n2K+z"
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer s.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, make := range map[string]func() error{
		"aborted": func() error {
			_, err := get(t, New(Options{AllowPrivate: true}), s.URL+"/hooks/T0/"+url.PathEscape(token)+"?token="+url.QueryEscape(token))
			return err
		},
		"forbidden": func() error { _, err := get(t, New(Options{}), "http://127.0.0.1:1/?t="+token); return err },
		"user": func() error {
			_, err := get(t, New(Options{}), "https://u:"+url.PathEscape(token)+"@h.example.net/")
			return err
		},
		"unparsable": func() error {
			_, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://h.example.net/%zz?t="+token, nil)
			return err
		},
		"cancelled": func() error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/?t="+url.QueryEscape(token), nil)
			if err != nil {
				return err
			}
			_, err = New(Options{AllowPrivate: true}).Do(r)
			return err
		},
		"text": func() error {
			return errors.New("post https://h.example.net/bot" + token + "/send: refused, token " + token)
		},
		"wrapped": func() error {
			return fmt.Errorf("send: %w", &url.Error{Op: "Get", URL: "h/" + token, Err: io.ErrUnexpectedEOF})
		},
	} {
		err := make()
		if err == nil {
			t.Fatalf("%s: no error", name)
		}
		red := Redact(err, token, "")
		for _, verb := range []string{"%v", "%+v", "%s", "%q", "%#v"} {
			out := fmt.Sprintf(verb, red)
			for _, form := range []string{token, url.QueryEscape(token), url.PathEscape(token), "4815162342", "/hooks/T0"} {
				if strings.Contains(out, form) {
					t.Errorf("%s %s: shows %q: %s", name, verb, form, out)
				}
			}
		}
	}
	if Redact(nil, token) != nil {
		t.Error("nil became an error")
	}
}

func TestRedactKeepsWhatIsNeededToMend(t *testing.T) {
	_, err := get(t, New(Options{Resolver: &fixed{ips: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}}), "https://hook.example.net/a?b=c")
	red := Redact(err)
	if !errors.Is(red, ErrForbidden) || !strings.Contains(red.Error(), "https://hook.example.net/[redacted]") || !strings.Contains(red.Error(), "10.0.0.1 is private") {
		t.Errorf("got %v", red)
	}
	if got := Redact(context.Canceled); !errors.Is(got, context.Canceled) || got.Error() != "context canceled" {
		t.Errorf("got %v", got)
	}
}

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://h.example.net":               "https://h.example.net",
		"https://h.example.net/":              "https://h.example.net",
		"https://h.example.net:8443/a":        "https://h.example.net:8443/[redacted]",
		"https://h.example.net?x=1":           "https://h.example.net/[redacted]",
		"https://u:p@h.example.net":           "https://h.example.net/[redacted]",
		"https://h.example.net/#f":            "https://h.example.net/[redacted]",
		"postgres://u:p@db.example.net/x":     "postgres://db.example.net/[redacted]",
		"wss://h.example.net/link?ticket=abc": "wss://h.example.net/[redacted]",
		"no address":                          "[redacted]",
		"https://h/%zz":                       "[redacted]",
		"":                                    "[redacted]",
	} {
		if got := RedactURL(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("Get \"https://h.example.net/a?b=c\": EOF", "tok")
	f.Add("a://b://c tok://tok", "tok")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := Redact(errors.New(text), secret).Error()
		if len(secret) > len(hidden) && strings.Contains(got, secret) {
			t.Errorf("%q shows %q: %q", text, secret, got)
		}
		if strings.Contains(got, "@") && strings.Contains(text, "://u:pw@h.") && strings.Contains(got, "u:pw@") {
			t.Errorf("%q shows a user: %q", text, got)
		}
	})
}
