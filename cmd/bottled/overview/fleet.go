package overview

import (
	"cmp"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/reconciler"
)

// Order is by what a fleet is sorted.
type Order string

// The orders. What is equal in one is by name.
const (
	ByAttention Order = "attention" // what needs somebody first, the default
	ByName      Order = "name"
	ByCPU       Order = "cpu"
	ByMemory    Order = "memory"
	ByRequests  Order = "requests"
	ByDenied    Order = "denied"
	BySince     Order = "since" // what changed last first
)

// Orders are all orders, in the sequence in which a key goes through them.
func Orders() []Order {
	return []Order{ByAttention, ByName, ByCPU, ByMemory, ByRequests, ByDenied, BySince}
}

// View is how somebody looks at a fleet. The zero value shows every bottle.
type View struct {
	Filter string // words, each of which has to be in a row's name, labels, condition, message or agent
	Order  Order
	Label  string // groups the rows by the value of a label; "" does not
	// Fold leaves out the rows that need no attention, and counts them.
	Fold bool
}

// Group is a part of a fleet.
type Group struct {
	Value  string // of the label; "" for the bottles that don't have it, and where nothing is grouped
	Rows   []Row
	Folded int // rows that are left out
	All    int // rows with those left out
}

// Fleet returns the bottles as a view has them. Without a label to group by it is one group; a fleet without a row that fits has none.
func (s Snapshot) Fleet(v View) []Group {
	groups := map[string]*Group{}
	words := strings.Fields(strings.ToLower(v.Filter))
	for _, b := range s.Status.Bottles {
		r := s.RowOf(b)
		if !r.has(words) {
			continue
		}
		value := r.Labels[v.Label]
		g := groups[value]
		if g == nil {
			g = &Group{Value: value}
			groups[value] = g
		}
		g.All++
		if v.Fold && len(words) == 0 && !r.NeedsAttention() {
			g.Folded++
			continue
		}
		g.Rows = append(g.Rows, r)
	}
	var all []Group
	for _, g := range groups {
		slices.SortFunc(g.Rows, v.Order.compare)
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b Group) int { // what has no label comes last
		if (a.Value == "") != (b.Value == "") {
			return cmp.Compare(len(b.Value), len(a.Value))
		}
		return cmp.Compare(a.Value, b.Value)
	})
	return all
}

// has reports whether each word, in lower case, is somewhere in the row.
func (r Row) has(words []string) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.Builder{}
	for _, part := range []string{r.Bottle, r.Condition, r.Message, r.Agent} {
		text.WriteString(strings.ToLower(part) + "\n")
	}
	for k, v := range r.Labels {
		text.WriteString(strings.ToLower(k+"="+v) + "\n")
	}
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text.String(), w) })
}

// urgency is the place of a row in the default order.
func (r Row) urgency() int {
	if r.Waiting > 0 {
		return 0
	}
	return 1 + slices.Index([]Tone{Bad, Warning, Busy, Good, Idle}, r.Tone)
}

func (o Order) compare(a, b Row) int {
	var c int
	switch o {
	case ByCPU:
		c = cmp.Compare(b.CPU, a.CPU)
	case ByMemory:
		c = cmp.Compare(b.Memory, a.Memory)
	case ByRequests:
		c = cmp.Compare(b.Requests, a.Requests)
	case ByDenied:
		c = cmp.Compare(b.Denied, a.Denied)
	case BySince:
		c = b.Since.Compare(a.Since)
	case ByName:
	default:
		c = cmp.Compare(a.urgency(), b.urgency())
	}
	return cmp.Or(c, cmp.Compare(a.Bottle, b.Bottle))
}

// Inbox returns the proposals that somebody has to decide about, then those that are being carried out, each the oldest first.
func (s Snapshot) Inbox() []reconciler.Proposal {
	var waiting, underWay []reconciler.Proposal
	for _, p := range s.Proposals {
		switch p.State {
		case reconciler.ProposalWaiting:
			waiting = append(waiting, p)
		case reconciler.ProposalApplying, reconciler.ProposalMerging:
			underWay = append(underWay, p)
		case reconciler.ProposalAnswered:
		}
	}
	return append(waiting, underWay...)
}

// Labels are the labels by which a fleet can be grouped, in order.
func (s Snapshot) Labels() []string {
	known := map[string]bool{}
	var all []string
	for _, b := range s.Status.Bottles {
		for k := range b.Labels {
			if !known[k] {
				known[k] = true
				all = append(all, k)
			}
		}
	}
	slices.Sort(all)
	return all
}
