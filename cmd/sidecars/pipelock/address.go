package pipelock

import "net/netip"

// addressClass is the kind of network that an address belongs to.
type addressClass int

// Addresses of all classes except public are refused, unless ssrf.ip_allowlist has them.
const (
	public addressClass = iota
	unspecified
	loopback
	private
	linkLocal
	metadata
	cgnat
	multicast
	broadcast
	documentation
	benchmarking
	reserved
	embedded
)

// String returns the name of the class in messages.
func (c addressClass) String() string {
	return [...]string{
		public:        "public",
		unspecified:   "unspecified",
		loopback:      "loopback",
		private:       "private",
		linkLocal:     "link-local",
		metadata:      "cloud metadata",
		cgnat:         "carrier-grade NAT",
		multicast:     "multicast",
		broadcast:     "broadcast",
		documentation: "documentation",
		benchmarking:  "benchmarking",
		reserved:      "reserved",
		embedded:      "IPv4-embedding",
	}[c]
}

type classifiedRange struct {
	class  addressClass
	prefix netip.Prefix
}

// ranges classifies addresses: the first range that contains an address decides. Sources: the IANA special-purpose registries for IPv4 and
// IPv6, and the clouds' documentation of their metadata services.
var ranges = parseRanges([]struct {
	class    addressClass
	prefixes []string
}{
	{metadata, []string{
		"169.254.169.254/32", "fd00:ec2::254/128", // AWS EC2 and most others
		"169.254.170.2/32", "169.254.170.23/32", "fd00:ec2::23/128", // AWS ECS, EKS
		"fd20:ce::254/128",   // Google Cloud
		"100.100.100.200/32", // Alibaba Cloud
		"168.63.129.16/32",   // Azure; otherwise public
		"192.0.0.192/32",     // Oracle Cloud
	}},
	{unspecified, []string{"0.0.0.0/32", "::/128"}},
	{loopback, []string{"127.0.0.0/8", "::1/128"}},
	// An address that embeds an IPv4 address bypasses the rules for that one if a translator or a tunnel is on the path.
	{embedded, []string{
		"::ffff:0:0/96",   // IPv4-mapped
		"::/96",           // IPv4-compatible
		"::ffff:0:0:0/96", // IPv4-translated (SIIT)
		"64:ff9b::/96",    // NAT64
		"64:ff9b:1::/48",  // NAT64, local use
		"2002::/16",       // 6to4
		"2001::/32",       // Teredo
	}},
	{private, []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"}},
	{linkLocal, []string{"169.254.0.0/16", "fe80::/10"}},
	{cgnat, []string{"100.64.0.0/10"}},
	{multicast, []string{"224.0.0.0/4", "ff00::/8"}},
	{broadcast, []string{"255.255.255.255/32"}},
	{documentation, []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"}},
	{benchmarking, []string{"198.18.0.0/15", "2001:2::/48"}},
	{reserved, []string{
		"0.0.0.0/8", "192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4",
		"2001::/23", // protocol assignments: ORCHID and the like
	}},
	{public, []string{"0.0.0.0/0", "2000::/3"}},
	{reserved, []string{"::/0"}}, // all unicast is allocated from 2000::/3
})

func parseRanges(table []struct {
	class    addressClass
	prefixes []string
},
) []classifiedRange {
	var all []classifiedRange
	for _, row := range table {
		for _, p := range row.prefixes {
			all = append(all, classifiedRange{row.class, netip.MustParsePrefix(p)})
		}
	}
	return all
}

// classify returns the class of any address: invalid ones count as reserved, those with a zone as link-local.
func classify(addr netip.Addr) addressClass {
	if addr.Zone() != "" {
		return linkLocal
	}
	for _, r := range ranges {
		if r.prefix.Contains(addr) {
			return r.class
		}
	}
	return reserved
}
