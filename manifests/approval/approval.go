package approval

import (
	"cmp"
	"net/netip"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Rule approves a proposal without a person.
type Rule struct {
	For time.Duration // how long the host is allowed; 0 for no end
	// Limits are those of the bottle's rule, of the policy's, or of both. Each counts the approvals that were made by the rule that it
	// names.
	Limits []Limit
}

// Limit bounds the approvals of one rule that are in force at once in a bottle.
type Limit struct {
	Rule string // a name that stays while the rule's tool and hosts do
	Max  int
}

// Auto returns the rule that approves what an agent asks for by a tool: a host, in lower case, and a port of it. Of a bottle that has
// rules itself, they and the policy's must both approve; the shorter time and both limits hold. ok is false if no rule does.
//
// A host of a rule without a port approves ports 443 and 80. An address is never approved, nor a
// wildcard, by which a single approval would open all of a rule's hosts.
func Auto(b v1alpha1.Bottle, policy *v1alpha1.ApprovalPolicy, tool, host string, port uint16) (rule Rule, ok bool) {
	if !b.Spec.Supervise || isAddress(host) || strings.Contains(host, "*") {
		return Rule{}, false
	}
	own := b.Spec.Approvals != nil && b.Spec.Approvals.Auto != nil
	if !own && policy == nil {
		return Rule{}, false
	}
	if own {
		r, found := find(b.Spec.Approvals.Auto, tool, host, port)
		if !found {
			return Rule{}, false
		}
		rule = rule.and("bottle", r)
	}
	if policy != nil {
		r, found := find(policy.Spec.Auto, tool, host, port)
		if !found {
			return Rule{}, false
		}
		rule = rule.and("policy", r)
	}
	return rule, true
}

// ExpireAfter returns how long a proposal of a bottle waits: the policy's time, which the bottle may shorten; 24 hours where neither says.
func ExpireAfter(b v1alpha1.Bottle, policy *v1alpha1.ApprovalPolicy) time.Duration {
	var own time.Duration
	if b.Spec.Approvals != nil {
		own = v1alpha1.Duration(b.Spec.Approvals.ExpireAfter, 0)
	}
	if policy == nil {
		return cmp.Or(own, v1alpha1.DefaultExpireAfter)
	}
	return shorter(own, v1alpha1.Duration(policy.Spec.ExpireAfter, v1alpha1.DefaultExpireAfter))
}

// and returns the rule as another one narrows it.
func (r Rule) and(of string, other v1alpha1.AutoRule) Rule {
	r.For = shorter(r.For, other.Duration())
	r.Limits = append(r.Limits, Limit{Rule: of + ": " + other.Tool + " " + strings.Join(other.Hosts, ","), Max: other.Limit()})
	return r
}

// shorter returns the shorter of two times, of which 0 has no end.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return max(a, b)
	}
	return min(a, b)
}

// find returns the first rule that approves.
func find(rules []v1alpha1.AutoRule, tool, host string, port uint16) (v1alpha1.AutoRule, bool) {
	for _, r := range rules {
		if r.Tool != tool {
			continue
		}
		for _, pattern := range r.Hosts {
			if matches(pattern, host, port) {
				return r, true
			}
		}
	}
	return v1alpha1.AutoRule{}, false
}

// matches reports whether a host of a rule stands for a host and port.
func matches(pattern, host string, port uint16) bool {
	name, only := scalar.SplitAllowed(pattern)
	return scalar.Covers(name, host) && (port == only || only == 0 && (port == 443 || port == 80))
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}
