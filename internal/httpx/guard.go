package httpx

import "net/netip"

// class is a range of addresses with what it is, for the error message.
type class struct {
	net     netip.Prefix
	is      string
	private bool // AllowPrivate lets it pass
}

// classes are the ranges that no request may reach unasked, from the registries
// of special-purpose addresses (iana.org, RFC 6890 and its successors).
var classes = []class{
	{p("0.0.0.0/8"), "unspecified", false},
	{p("10.0.0.0/8"), "private", true},
	{p("100.64.0.0/10"), "shared by carriers", true}, // cloud providers keep metadata here: 100.100.100.200
	{p("127.0.0.0/8"), "loopback", true},
	{p("169.254.0.0/16"), "link-local", false}, // metadata of most clouds: 169.254.169.254
	{p("168.63.129.16/32"), "a cloud's own", false},
	{p("172.16.0.0/12"), "private", true},
	{p("192.0.0.0/24"), "reserved", false},
	{p("192.0.2.0/24"), "documentation", false},
	{p("192.31.196.0/24"), "reserved", false},
	{p("192.52.193.0/24"), "reserved", false},
	{p("192.88.99.0/24"), "a 6to4 relay", false},
	{p("192.168.0.0/16"), "private", true},
	{p("192.175.48.0/24"), "reserved", false},
	{p("198.18.0.0/15"), "for benchmarks", true},
	{p("198.51.100.0/24"), "documentation", false},
	{p("203.0.113.0/24"), "documentation", false},
	{p("224.0.0.0/4"), "multicast", false},
	{p("240.0.0.0/4"), "reserved", false}, // 255.255.255.255 too

	{p("::/128"), "unspecified", false},
	{p("::1/128"), "loopback", true},
	{p("64:ff9b:1::/48"), "a local NAT64", false},
	{p("100::/64"), "discarded", false},
	{p("2001:db8::/32"), "documentation", false},
	{p("3fff::/20"), "documentation", false},
	{p("5f00::/16"), "segment routing", false},
	{p("fc00::/7"), "private", true}, // metadata too: fd00:ec2::254
	{p("fe80::/10"), "link-local", false},
	{p("fec0::/10"), "site-local", false},
	{p("ff00::/8"), "multicast", false},
}

// metadata services sit in ranges that AllowPrivate opens; they stay shut.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
}

func p(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// forbidden says what ip is when it may not be dialled; "" = it may.
func forbidden(ip netip.Addr, allowPrivate bool) string {
	if ip.Zone() != "" {
		return "link-local"
	}
	ip = ip.Unmap() // ::ffff:127.0.0.1
	for _, m := range metadata {
		if ip == m {
			return "a metadata service"
		}
	}
	for _, c := range classes {
		if c.net.Contains(ip) && !(allowPrivate && c.private) {
			return c.is
		}
	}
	if inner, via := embedded(ip); inner.IsValid() {
		// What a gateway would make of it is never meant by anybody.
		if is := forbidden(inner, false); is != "" {
			return is + " behind " + via
		}
	}
	return ""
}

// embedded returns the IPv4 address that a gateway would deliver an IPv6
// address to.
func embedded(ip netip.Addr) (netip.Addr, string) {
	if !ip.Is6() {
		return netip.Addr{}, ""
	}
	b := ip.As16()
	v4 := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case p("64:ff9b::/96").Contains(ip):
		return v4(12), "NAT64"
	case p("2002::/16").Contains(ip):
		return v4(2), "6to4"
	case p("2001::/32").Contains(ip): // the client's address is stored inverted
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), "Teredo"
	case p("::/96").Contains(ip) && ip != netip.IPv6Loopback():
		return v4(12), "an IPv4-compatible address"
	case b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return v4(12), "ISATAP"
	}
	return netip.Addr{}, ""
}
