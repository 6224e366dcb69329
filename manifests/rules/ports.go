package rules

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const (
	maxPorts = 64 // of one bottle
	maxPort  = 65535
)

func portField(index int, key string) string {
	return parse.ElementOf(v1alpha1.PortsField, index) + "." + key
}

func validatePorts(d *parse.Document, ports []v1alpha1.Port) {
	if len(ports) > maxPorts {
		d.Report(v1alpha1.PortsField, fmt.Sprintf("there are %d ports, more than %d", len(ports), maxPorts), "remove some; one port can serve many pages")
		return
	}
	for i, p := range ports {
		if field := portField(i, "container"); d.Given(field) && (p.Container < 1 || p.Container > maxPort) {
			d.Report(field, fmt.Sprintf("%d is not a port", p.Container), "write a number from 1 to 65535")
			continue
		}
		field := portField(i, "host")
		if d.Given(field) {
			if f := checkHostAddress(p.Host); f != nil {
				d.Report(field, f.Reason, f.Fix)
				continue
			}
		}
		for j, earlier := range ports[:i] {
			if overlap(completePort(earlier), completePort(p)) {
				d.Report(field, fmt.Sprintf("%s is taken by ports[%d]", scalar.Quote(completePort(p).Host), j), "choose another port of this host")
				break
			}
		}
	}
}

// checkHostAddress checks an address and port of the host.
func checkHostAddress(text string) *scalar.Fault {
	const example = "write an address and a port, like 127.0.0.1:3000"
	host, port, _ := strings.Cut(text, ":")
	switch a, err := netip.ParseAddrPort(text); {
	case err == nil && a.Port() == 0:
		return scalar.NewFault("port 0 is no fixed port", example)
	case err == nil && hostAddressPattern.Matches(text):
		return nil
	case err == nil:
		return scalar.NewFault(scalar.Quote(text)+" is not the usual form of an address and port", `write it like 127.0.0.1:3000 or "[::1]:3000"`)
	case text == "":
		return scalar.NewFault("the address is empty", example+", or remove the field")
	case port == "" && isNumber(host):
		return scalar.NewFault(scalar.Quote(text)+" does not say on which address", "write 127.0.0.1:"+host+" for this host only")
	case host == "" && isNumber(port):
		return scalar.NewFault(scalar.Quote(text)+" does not say on which address", "write 127.0.0.1"+text+" for this host only")
	case host == "localhost" && isNumber(port):
		return scalar.NewFault("localhost is a name, not an address", "write 127.0.0.1:"+port)
	case isNumber(port):
		return scalar.NewFault(scalar.Quote(host)+" is not an address of this host", example)
	}
	return scalar.NewFault(scalar.Quote(text)+" is not an address and a port", example)
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

func completePorts(ports []v1alpha1.Port) {
	for i := range ports {
		ports[i] = completePort(ports[i])
	}
}

// completePort fills in the default and writes the address in its canonical form. A host that is no address stays.
func completePort(p v1alpha1.Port) v1alpha1.Port {
	if p.Host == "" {
		p.Host = p.DefaultHost()
	}
	if a, err := p.Address(); err == nil {
		p.Host = a.String()
	}
	return p
}

// overlap reports whether two ports can't be listened on at once: the same port on the same address, or on all addresses of a family.
func overlap(a, b v1alpha1.Port) bool {
	x, errX := a.Address()
	y, errY := b.Address()
	if errX != nil || errY != nil || x.Port() != y.Port() || x.Addr().Is4() != y.Addr().Is4() {
		return false
	}
	return x.Addr() == y.Addr() || x.Addr().IsUnspecified() || y.Addr().IsUnspecified()
}

// warnPorts warns of ports that others than this host's users reach.
func warnPorts(d *parse.Document) {
	for i, p := range d.Bottle.ListensOn() {
		if a, err := p.Address(); err == nil && !a.Addr().IsLoopback() {
			d.Warn(portField(i, "host"), "everybody who can reach "+p.Host+" reaches the agent, without a password",
				fmt.Sprintf("listen on 127.0.0.1:%d and use ssh -L, or protect the port by a firewall", a.Port()))
		}
	}
}

// portClaim is a port of a document, by its address on the host.
type portClaim struct {
	d       *parse.Document
	index   int
	address netip.AddrPort
}

// portClaims are the ports of all documents. Two of them conflict that have the same address, or the same port and one of them all addresses.
type portClaims struct {
	byAddress map[netip.AddrPort][]portClaim
	byPort    map[netip.AddrPort][]portClaim // by all addresses of the family
}

// allAddresses returns the address that stands for all of its family, with the same port.
func allAddresses(a netip.AddrPort) netip.AddrPort {
	if a.Addr().Is4() {
		return netip.AddrPortFrom(netip.IPv4Unspecified(), a.Port())
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified(), a.Port())
}

func (all portClaims) add(d *parse.Document) {
	for i, p := range d.Bottle.ListensOn() {
		if a, err := p.Address(); err == nil {
			c := portClaim{d, i, a}
			all.byAddress[a] = append(all.byAddress[a], c)
			all.byPort[allAddresses(a)] = append(all.byPort[allAddresses(a)], c)
		}
	}
}

// rival returns the claim of another document that conflicts with one; nil when there is none.
func (all portClaims) rival(c portClaim) *portClaim {
	candidates := [][]portClaim{all.byAddress[c.address], all.byAddress[allAddresses(c.address)]}
	if c.address.Addr().IsUnspecified() {
		candidates = [][]portClaim{all.byPort[c.address]}
	}
	for _, claims := range candidates {
		for i := range claims {
			if claims[i].d != c.d {
				return &claims[i]
			}
		}
	}
	return nil
}

// RefusePortConflicts adds a problem to every document with a port that another bottle listens on, too: nothing says which of them is
// meant to have it.
func RefusePortConflicts(documents []*parse.Document) {
	all := portClaims{map[netip.AddrPort][]portClaim{}, map[netip.AddrPort][]portClaim{}}
	for _, d := range documents {
		if d.IsValid() {
			all.add(d)
		}
	}
	for _, claims := range all.byAddress {
		for _, c := range claims {
			if other := all.rival(c); other != nil {
				c.d.Report(portField(c.index, "host"), fmt.Sprintf("%s is taken by bottle %s (%s)", c.address, other.d.Slug, other.d.Where()), "choose another port of this host")
			}
		}
	}
}
