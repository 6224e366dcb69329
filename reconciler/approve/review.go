package approve

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state/audit"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	refusedWithin = 10 * time.Minute // before the proposal
	maxRefused    = 20               // kinds of refused requests in a review
	refusedBytes  = 1 << 20          // of the audit log that are read for them
)

// Summarize says in one line what a proposal asks for. It may hold an agent's words.
func Summarize(p queue.Proposal) string {
	switch p.Tool {
	case queue.PipelockBlock:
		if h, err := parseHost(p.Payload); err == nil {
			return "allow " + shorten(h.String())
		}
		return "allow " + shorten(p.Payload)
	case queue.CredProxyBlock:
		return "change the routes of cred-proxy"
	case queue.CapabilityBlock:
		return "change the agent's Dockerfile"
	case queue.SecretRequest:
		if r, err := queue.ParseSecret(p.Payload); err == nil {
			return "get the secret " + shorten(r.Name) + " for " + shorten(r.Upstream)
		}
		return "get a secret"
	}
	return shorten(string(p.Tool))
}

// Review returns everything that a person needs to decide about a proposal, as the manifest is now.
func (d *Desk) Review(ctx context.Context, id string) (reconciler.Review, error) {
	d.mu.Lock()
	p := d.proposals[id]
	var described reconciler.Proposal
	diff, patch := "", ""
	if p != nil {
		if described = d.describe(p); p.decision != nil {
			diff, patch = p.decision.Diff, p.decision.Patch
		}
	}
	i := slices.IndexFunc(d.answered, func(a reconciler.Proposal) bool { return a.ID == id })
	if p == nil && i >= 0 {
		described = d.answered[i]
	}
	d.mu.Unlock()
	switch {
	case p == nil && i < 0:
		return reconciler.Review{}, fmt.Errorf("%w %.64q", reconciler.ErrNoProposal, id)
	case p == nil:
		return reconciler.Review{Proposal: described, Refused: []reconciler.RefusedRequest{}, Plan: []string{}}, nil
	}
	r := d.review(ctx, described, p.Proposal)
	if described.Decision != nil { // it is about what was decided, not about what would be
		r.Diff, r.Patch, r.Plan = diff, patch, []string{}
		return r, nil
	}
	if err := d.addRefused(described, &r); err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
	return r, nil
}

// review returns what the approval of a proposal would change.
func (d *Desk) review(ctx context.Context, described reconciler.Proposal, p queue.Proposal) reconciler.Review {
	out, err := d.propose(p, described.Bottle, time.Time{}, nil)
	r := reconciler.Review{
		Proposal: described, Payload: p.Payload, Refused: []reconciler.RefusedRequest{}, Plan: []string{},
		File: out.change.File, Digest: out.change.digest(), Edited: string(out.change.After), Warnings: out.warnings, Dangers: out.dangers,
	}
	if err = cmp.Or(err, out.blocked); err != nil {
		r.Blocked = err.Error()
	}
	if out.changes() && described.Decision == nil {
		r.Diff = out.change.diff()
		r.Plan = d.planOf(ctx, described, out, &r)
		if d.proposes() {
			r.Warnings = append(r.Warnings, "an approval makes a branch of this change; it is in force, and the agent is answered, when somebody has merged that")
		}
	}
	return r
}

// planOf returns what the controller would do, one line for each component, network, volume and image that it touches. What can't be planned is a warning.
func (d *Desk) planOf(ctx context.Context, p reconciler.Proposal, out proposed, r *reconciler.Review) []string {
	if out.secretFile != "" {
		r.Warnings = append(r.Warnings, "what the controller would do is only known when the secret is there")
		return []string{}
	}
	var dockerfile []byte
	if p.Tool == queue.CapabilityBlock {
		dockerfile = out.change.After
	}
	planned, err := d.bottles.Preview(ctx, out.after.snapshot, p.Bottle, dockerfile)
	if err != nil {
		r.Warnings = append(r.Warnings, "what the controller would do is not known: "+err.Error())
		return []string{}
	}
	return planLines(planned)
}

// planLines describes a plan by what is done to each object, but for the sidecars' files: what follows from them counts.
func planLines(p plan.BottlePlan) []string {
	lines := []string{}
	reloaded := map[string]bool{}
	for _, s := range p.Steps {
		if s.Action == plan.Reload {
			reloaded[s.Object] = true
		}
	}
	for _, i := range p.Items() {
		if i.Kind == "files" {
			continue
		}
		verb := string(i.Verb)
		if reloaded[i.Name] && i.Verb == plan.VerbChange {
			verb = "reload"
		}
		lines = append(lines, fmt.Sprintf("%s %s %s: %s", verb, i.Kind, i.Name, strings.Join(i.Causes, ", ")))
	}
	return lines
}

// addRefused adds what the bottle was refused before it asked.
func (d *Desk) addRefused(p reconciler.Proposal, r *reconciler.Review) error {
	type key struct{ component, request, reason string }
	seen := map[key]*reconciler.RefusedRequest{}
	err := audit.Last(d.Settings.AuditDir(), p.Bottle, refusedBytes, func(record audit.Record) {
		s, at := record.Statement, record.At()
		if s == nil || at.Before(p.Asked.Add(-refusedWithin)) || at.After(p.Asked.Add(time.Second)) || !isRefused(record) {
			return
		}
		k := key{shorten(record.Component), requestOf(s), cmp.Or(string(s.Reason), string(s.Code))}
		if seen[k] == nil {
			seen[k] = &reconciler.RefusedRequest{Component: k.component, Request: k.request, Reason: k.reason}
		}
		seen[k].Count += int64(min(max(s.Count, 1), 1<<40))
		seen[k].Time = at
	})
	for _, refused := range seen {
		r.Refused = append(r.Refused, *refused)
	}
	slices.SortFunc(r.Refused, func(a, b reconciler.RefusedRequest) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Request, b.Request), cmp.Compare(a.Reason, b.Reason))
	})
	r.Refused = r.Refused[:min(len(r.Refused), maxRefused)]
	return err
}

func isRefused(r audit.Record) bool {
	return r.Kind == audit.KindEgress && r.Action == "deny" || r.Kind == audit.KindRequest && r.Refused
}

// requestOf describes a request, by what a sidecar said of it.
func requestOf(s *audit.Statement) string {
	target := string(s.Host)
	if s.Port != 0 {
		target = net.JoinHostPort(target, strconv.Itoa(int(s.Port)))
	}
	return strings.TrimSpace(string(s.Method) + " " + target + string(s.Route) + string(s.Path))
}
