// Package httpx makes the outgoing HTTP clients. All of them come from here, so
// that every request has a deadline, reads no more than it should, cannot be
// sent to a private address by somebody's text, and tells no secret in an error.
package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options are the limits of a client. The zero value is a strict client for the
// public internet.
type Options struct {
	Timeout      time.Duration // of a whole exchange, body included; 0 = 15 s
	MaxBody      int64         // bytes of an answer's body, after decompression; 0 = 64 KiB, -1 = whatever comes (files)
	MaxHeader    int64         // bytes of an answer's header; 0 = 32 KiB
	AllowPrivate bool          // private and loopback addresses may be dialled, and http: spoken to them
	AllowHosts   []string      // host or host:port that an operator trusts: no address, scheme or port rule applies to them
	Ports        []string      // ports that may be dialled; nil = 443 and 8443. With AllowPrivate: any
	UserAgent    string        // "" = "Paidan"

	// Resolver looks host names up; nil = the system's. Its answer is what is
	// checked and dialled: nothing is resolved a second time.
	Resolver Resolver
}

// Resolver looks a host name up, as *net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var (
	// ErrForbidden means: the address is not one to be talked to. No connection was made.
	ErrForbidden = errors.New("address is not allowed")
	// ErrTooLarge means: the answer was longer than MaxBody. What came is incomplete.
	ErrTooLarge = errors.New("response body is too large")
)

const (
	defaultTimeout   = 15 * time.Second
	defaultMaxBody   = 64 << 10
	defaultMaxHeader = 32 << 10
)

// New returns a client. It follows no redirect: the 3xx comes back as the
// answer, for whoever called to refuse. It reads no proxy from the environment,
// for behind a proxy the address guard would see the proxy's address only.
func New(o Options) *http.Client {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.MaxHeader == 0 {
		o.MaxHeader = defaultMaxHeader
	}
	if o.UserAgent == "" {
		o.UserAgent = "Paidan"
	}
	if o.Ports == nil {
		o.Ports = []string{"443", "8443"}
	}
	return &http.Client{
		Timeout:       o.Timeout,
		Transport:     &transport{o: o, next: newTransport(o)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func newTransport(o Options) *http.Transport {
	d := &dialer{o: o}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: o.MaxHeader,
	}
}

// transport checks what can be seen in the request, and caps what comes back.
type transport struct {
	o    Options
	next *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.o.checkURL(r.URL); err != nil {
		if r.Body != nil {
			err = errors.Join(err, r.Body.Close())
		}
		return nil, err
	}
	if r.Header.Get("User-Agent") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("User-Agent", t.o.UserAgent)
	}
	res, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if t.o.MaxBody > 0 && res.StatusCode != http.StatusSwitchingProtocols {
		res.Body = &capped{ReadCloser: res.Body, left: t.o.MaxBody}
	}
	return res, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *transport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// capped fails the read that goes beyond the limit, so that a cut answer cannot
// be taken for a whole one.
type capped struct {
	io.ReadCloser
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.ReadCloser.Read(p)
	if int64(n) > c.left {
		n = int(c.left)
		c.left = 0
		return n, ErrTooLarge
	}
	c.left -= int64(n)
	return n, err
}

// trusted reports whether the operator named host, alone or with this port.
func (o Options) trusted(host, port string) bool {
	host = strings.ToLower(host)
	return slices.ContainsFunc(o.AllowHosts, func(a string) bool {
		a = strings.ToLower(a)
		return a == host || a == net.JoinHostPort(host, port)
	})
}

// checkURL refuses what is wrong before any name is looked up.
func (o Options) checkURL(u *url.URL) error {
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("scheme %q: %w", u.Scheme, ErrForbidden)
	case host == "":
		return fmt.Errorf("no host: %w", ErrForbidden)
	case u.User != nil:
		return fmt.Errorf("user name in the address: %w", ErrForbidden)
	case o.trusted(host, port):
		return nil
	case !plainHost(host):
		return fmt.Errorf("host %q: %w", host, ErrForbidden)
	case u.Scheme == "http" && !o.AllowPrivate:
		return fmt.Errorf("http without TLS: %w", ErrForbidden)
	case !o.AllowPrivate && !slices.Contains(o.Ports, port):
		return fmt.Errorf("port %s: %w", port, ErrForbidden)
	}
	return nil
}

// plainHost reports whether host is an IP address without a zone, or a name in
// lower-case ASCII of at least one letter in its last label. That leaves out
// what resolvers and C libraries read as addresses in disguise: 2130706433,
// 0x7f.1, 127.1, full-width digits, names with a dot behind them.
func plainHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(strings.ToLower(host), ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	return strings.ContainsAny(last, "abcdefghijklmnopqrstuvwxyz") && !strings.HasPrefix(last, "0x")
}

// dialer connects to the addresses it has checked and to no others.
type dialer struct{ o Options }

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	nd := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if !d.o.trusted(host, port) {
		// The system calls Control with the very address that it connects to
		// next; there is no second look-up that could say something else.
		nd.Control = func(_, address string, _ syscall.RawConn) error { return d.o.checkAddr(address) }
	}
	if d.o.Resolver == nil {
		return nd.DialContext(ctx, network, addr)
	}
	ips, err := d.o.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, ip := range ips {
		c, err := nd.DialContext(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (o Options) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	ips, err := o.Resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up host: %w", err)
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no address", Name: host, IsNotFound: true}
	}
	return ips, nil
}

func (o Options) checkAddr(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: %w", address, ErrForbidden)
	}
	if class := forbidden(ap.Addr(), o.AllowPrivate); class != "" {
		return fmt.Errorf("%s is %s: %w", ap.Addr(), class, ErrForbidden)
	}
	return nil
}

// ReadAll reads a body that has a cap and closes it.
func ReadAll(body io.ReadCloser) (data []byte, err error) {
	defer func() { err = errors.Join(err, body.Close()) }()
	return io.ReadAll(body)
}
