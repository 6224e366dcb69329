package rules

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const maxExtraHosts = 64

// validateExtraHosts judges names that are the agent's own. They lead nowhere but into its bottle.
func validateExtraHosts(d *parse.Document, hosts map[string]string) {
	const field = v1alpha1.ExtraHostsField
	if len(hosts) > maxExtraHosts {
		d.Report(field, fmt.Sprintf("it has more than %d names", maxExtraHosts), "remove some")
	}
	declared := declaredHosts(d)
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		at := scalar.FieldOf(field, name)
		if !d.Given(at) {
			continue
		}
		if f := checkExtraName(name, declared); f != nil {
			d.Report(at, f.Reason, f.Fix)
		} else if hasService(d, name) {
			d.Report(at, scalar.Quote(name)+" is the name of a service", "choose another name, like db.internal")
		} else if f := checkExtraTarget(d, hosts[name]); f != nil {
			d.Report(at, f.Reason, f.Fix)
		}
	}
}

func checkExtraName(name string, declared []string) *scalar.Fault {
	const fix = "choose another name, like db.internal"
	switch f := scalar.CheckHost(name, nil); {
	case name != strings.ToLower(name):
		return scalar.NewFault("the name "+scalar.Quote(name)+" has upper-case letters", "write "+scalar.Quote(strings.ToLower(name)))
	case f != nil:
		return scalar.NewFault(f.Reason, fix)
	case slices.Contains(declared, name):
		return scalar.NewFault(scalar.Quote(name)+" is a host that the bottle reaches through pipelock, which does not look here", fix)
	}
	if host := hostBelow(declared, name); host != "" {
		return scalar.NewFault(fmt.Sprintf("the agent would ask %s past pipelock: extra hosts are in NO_PROXY, and programs take %s for a domain", scalar.Quote(host), name), fix)
	}
	return nil
}

func checkExtraTarget(d *parse.Document, target string) *scalar.Fault {
	const fix = "write a loopback address, like 127.0.0.1, or the name of another container of the bottle"
	addr, err := netip.ParseAddr(target)
	switch {
	case err == nil && addr.IsLoopback() && addr.Zone() == "" && !addr.Is4In6():
		return nil
	case err == nil:
		return scalar.NewFault(scalar.Quote(target)+" is not in the bottle, and the agent reaches nothing else",
			"allow the host in spec.egress.allowlist: pipelock resolves its name; or "+fix)
	case target == contract.CredProxyName:
		return scalar.NewFault("requests to cred-proxy go through pipelock, which knows it by no other name", "use http://cred-proxy:9099, or "+fix)
	case target == contract.SuperviseName && !d.Bottle.Spec.Supervise:
		return scalar.NewFault("the bottle has no supervise", "set spec.supervise: true, or "+fix)
	case !contract.IsName(target) && !hasService(d, target):
		return scalar.NewFault(scalar.Quote(target)+" is not in the bottle", fix)
	}
	return nil
}
