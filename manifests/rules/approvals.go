package rules

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const (
	minApproval  = time.Minute
	maxApproval  = 30 * 24 * time.Hour
	maxAutoRules = 100
	maxAutoHosts = 100
	maxAutoMax   = 1000
)

// tools are those by which an agent asks, with the reason why no rule can approve what it asks for; "" where one can.
var tools = map[string]string{ //nolint:gosec // names of tools
	v1alpha1.ToolPipelockBlock: "",
	"cred-proxy-block":         "a route has a token sent to an upstream, which a person must see",
	"capability-block":         "a new image may run anything, so a person must see it",
	"secret-request":           "only a person has the secret",
}

// validateApprovals judges what a bottle says about its agent's proposals.
func validateApprovals(d *parse.Document) {
	approvals := d.Bottle.Spec.Approvals
	if approvals == nil || !d.Given(v1alpha1.ApprovalsField) {
		return
	}
	if !d.Bottle.Spec.Supervise && (d.Given("spec.supervise") || !d.Has("spec.supervise")) {
		d.Report(v1alpha1.ApprovalsField, "the agent can't ask for anything: the bottle has no supervise", "set spec.supervise: true, or remove spec.approvals")
	}
	validateAnswers(d, *approvals, v1alpha1.ApprovalsField)
}

// validatePolicy judges a policy.
func validatePolicy(d *parse.Document) {
	const name = "metadata.name"
	if text := d.Policy.Metadata.Name; d.Given(name) && !v1alpha1.IsName(text) {
		d.Report(name, nameFault(text), nameFix(text))
	}
	validateAnswers(d, d.Policy.Spec, "spec")
}

// validateAnswers judges the approvals of a bottle or of a policy, which are in a field.
func validateAnswers(d *parse.Document, approvals v1alpha1.Approvals, field string) {
	checkApprovalTime(d, field+".expireAfter", approvals.ExpireAfter)
	if len(approvals.Auto) > maxAutoRules {
		d.Report(field+".auto", fmt.Sprintf("it has more than %d rules", maxAutoRules), "join rules for the same hosts")
	}
	for i, rule := range approvals.Auto {
		validateAutoRule(d, rule, parse.ElementOf(field+".auto", i))
	}
}

func validateAutoRule(d *parse.Document, rule v1alpha1.AutoRule, field string) {
	if at := field + ".tool"; d.Given(at) {
		if reason, known := tools[rule.Tool]; !known {
			d.Report(at, scalar.Quote(rule.Tool)+" is no tool of the agent", "write "+v1alpha1.ToolPipelockBlock)
		} else if reason != "" {
			d.Report(at, "no rule can approve "+rule.Tool+": "+reason, "remove the rule; only "+v1alpha1.ToolPipelockBlock+" can be approved by a rule")
		}
	}
	if at := field + ".hosts"; d.Given(at) && (len(rule.Hosts) == 0 || len(rule.Hosts) > maxAutoHosts) {
		d.Report(at, fmt.Sprintf("it has %d hosts", len(rule.Hosts)), fmt.Sprintf("list 1 to %d hosts, or remove the rule", maxAutoHosts))
	}
	for i, host := range rule.Hosts {
		if at := parse.ElementOf(field+".hosts", i); d.Given(at) {
			if f := checkAutoHost(host); f != nil {
				d.Report(at, f.Reason, f.Fix)
			}
		}
	}
	checkApprovalTime(d, field+".for", rule.For)
	if at := field + ".max"; d.Given(at) && (rule.Max < 1 || rule.Max > maxAutoMax) {
		d.Report(at, fmt.Sprintf("%d is no number of approvals", rule.Max), fmt.Sprintf("write a number from 1 to %d, or remove it for %d", maxAutoMax, v1alpha1.DefaultAutoMax))
	}
}

// checkAutoHost judges a host that a rule approves: an entry of the allowlist, but no address.
func checkAutoHost(host string) *scalar.Fault {
	if isAddress(host) {
		return scalar.NewFault(scalar.Quote(host)+" is an address, which no rule can approve", "write the host's name, or allow the address in spec.egress.allowlist")
	}
	return scalar.CheckAllowed(host, nil)
}

// isAddress reports whether an entry is an address, with or without a port.
func isAddress(entry string) bool {
	if _, err := netip.ParseAddr(entry); err == nil {
		return true
	}
	if _, err := netip.ParseAddrPort(entry); err == nil {
		return true
	}
	return strings.HasPrefix(entry, "[")
}

// checkApprovalTime judges how long a proposal waits, or an approved host is allowed.
func checkApprovalTime(d *parse.Document, field, text string) {
	if !d.Given(field) {
		return
	}
	const fix = "write a duration from 1m to 720h (30 days), like 8h or 90m"
	v, err := time.ParseDuration(text)
	switch {
	case err != nil || !durationPattern.Matches(text):
		d.Report(field, scalar.Quote(text)+" is not a duration", fix)
	case v < minApproval:
		d.Report(field, scalar.Quote(text)+" is less than a minute", fix)
	case v > maxApproval:
		d.Report(field, scalar.Quote(text)+" is more than 30 days", fix)
	}
}

// completeAuto brings hosts to one form and sets defaults.
func completeAuto(approvals *v1alpha1.Approvals) {
	if approvals == nil {
		return
	}
	for i := range approvals.Auto {
		rule := &approvals.Auto[i]
		for j, host := range rule.Hosts {
			rule.Hosts[j] = scalar.CanonicalHost(host)
		}
		rule.Max = int64(rule.Limit())
	}
}

// RefuseSeveralPolicies adds a problem to every policy when there is more than one: nothing says which of them holds.
func RefuseSeveralPolicies(documents []*parse.Document) {
	var policies []*parse.Document
	for _, d := range documents {
		if d.Policy != nil {
			policies = append(policies, d)
		}
	}
	for i, d := range policies {
		if len(policies) > 1 {
			d.Report("kind", fmt.Sprintf("there is another %s in %s, so neither holds: nothing is approved without a person", v1alpha1.PolicyKind, otherPlaces(policies, i)),
				"keep one of them")
		}
	}
}
