package approve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/manifests/approval"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/queue"
)

// grant is an approval by a rule.
type grant struct {
	Rules    []string  `json:"rules"`    // approval.Limit.Rule of each
	Proposal string    `json:"proposal"` // its ID
	Host     string    `json:"host"`
	Time     time.Time `json:"time"`
	Until    time.Time `json:"until,omitzero"` // zero: without a limit
}

// grants is the file that counts the approvals by rules of one bottle.
type grants struct {
	Grants []grant `json:"grants"`
}

func (d *Desk) grantsPath(bottle string) string {
	return filepath.Join(d.Settings.ApprovalsDir(), "grants", bottle+".json")
}

// readGrants returns the grants of a bottle that are in force.
func (d *Desk) readGrants(bottle string) (g grants, err error) {
	data, err := owndir.ReadFile(d.grantsPath(bottle))
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &g)
	}
	if err != nil {
		return g, fmt.Errorf("count what rules have approved for bottle %s: %s: %w", bottle, d.grantsPath(bottle), err)
	}
	now := time.Now()
	g.Grants = slices.DeleteFunc(g.Grants, func(one grant) bool { return !one.Until.IsZero() && !one.Until.After(now) })
	return g, nil
}

func (d *Desk) saveGrants(bottle string, g grants) error {
	path := d.grantsPath(bottle)
	data, err := json.MarshalIndent(g, "", "  ")
	if err == nil {
		err = owndir.Save(path, data)
	}
	if err != nil {
		return fmt.Errorf("count what rules have approved for bottle %s: %w", bottle, err)
	}
	return nil
}

// count returns how many approvals a rule has in force, beside that of one proposal.
func (g grants) count(rule, proposal string) (n int) {
	for _, one := range g.Grants {
		if slices.Contains(one.Rules, rule) && one.Proposal != proposal {
			n++
		}
	}
	return n
}

// without returns the grants minus that of a proposal.
func (g grants) without(proposal string) grants {
	return grants{slices.DeleteFunc(slices.Clone(g.Grants), func(one grant) bool { return one.Proposal == proposal })}
}

// ruleFor returns the rule by which a proposal is approved.
func ruleFor(p *proposal, decl Declaration) (approval.Rule, bool) {
	if p.Tool != queue.PipelockBlock || p.decision != nil || p.unruled {
		return approval.Rule{}, false
	}
	h, err := parseHost(p.Payload)
	if err != nil {
		return approval.Rule{}, false
	}
	return approval.Auto(decl.Bottle, decl.Policy, string(p.Tool), h.name, h.port)
}

// decideByRule approves a proposal by a rule. What the rule can't approve waits for a person, with the reason.
func (d *Desk) decideByRule(p *proposal, rule approval.Rule) {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if _, err := d.find(p.ID); err != nil {
		return // somebody was faster
	}
	if err := d.approveByRule(p, rule); err != nil {
		d.setMessage(p.ID, "not approved by a rule: "+err.Error())
		d.Log.Warn().Str("bottle", p.bottle).Str("proposal", p.ID).Err(err).Msg("a rule can't approve a proposal, which waits for a person")
		d.mu.Lock()
		defer d.mu.Unlock()
		p.unruled = true
	}
}

// approveByRule counts the approval and then accepts it: a crash between the two counts one too many, never one too few.
func (d *Desk) approveByRule(p *proposal, rule approval.Rule) error {
	if d.proposes() {
		return errors.New("a person has to merge every change of these manifests")
	}
	g, err := d.readGrants(p.bottle)
	if err != nil {
		return err
	}
	var names []string
	for _, limit := range rule.Limits {
		if n := g.count(limit.Rule, p.ID); n >= limit.Max {
			return fmt.Errorf("%d approvals of the rule (%s) are in force, and its max is %d", n, limit.Rule, limit.Max)
		}
		names = append(names, limit.Rule)
	}
	x := &decision{
		Bottle: p.bottle, Proposal: p.Proposal,
		Decision: reconciler.Decision{By: byRule, Time: d.now()},
	}
	if err := d.approve(x, reconciler.DecisionRequest{Approve: true, For: rule.For}); err != nil {
		return err
	}
	if x.Change != nil {
		one := grant{Rules: names, Proposal: p.ID, Host: p.summary, Time: x.Decision.Time}
		if h, err := parseHost(p.Payload); err == nil {
			one.Host = h.String()
		}
		if rule.For > 0 {
			one.Until = x.Decision.Time.Add(rule.For)
		}
		next := g.without(p.ID)
		next.Grants = append(next.Grants, one)
		if err := d.saveGrants(p.bottle, next); err != nil {
			return err
		}
	}
	return d.accept(p, x)
}

// ungrant no longer counts an approval by a rule that could not be carried out.
func (d *Desk) ungrant(x *decision) error {
	if x.Decision.By != byRule {
		return nil
	}
	g, err := d.readGrants(x.Bottle)
	if err != nil {
		return err
	}
	return d.saveGrants(x.Bottle, g.without(x.Proposal.ID))
}
