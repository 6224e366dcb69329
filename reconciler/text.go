package reconciler

import (
	"fmt"
	"io"
	"strings"

	"github.com/bot-bottle/bottled/state"
)

// Verb sums up what a plan does with one object.
type Verb string

// The verbs, with the signs that terraform has for them.
const (
	VerbCreate  Verb = "create"
	VerbChange  Verb = "change"
	VerbReplace Verb = "replace"
	VerbRemove  Verb = "remove"
)

// Sign is + ~ -/+ or -.
func (v Verb) Sign() string {
	return map[Verb]string{VerbCreate: "+", VerbChange: "~", VerbReplace: "-/+", VerbRemove: "-"}[v]
}

// Item is what a plan does with one object: all steps that concern it.
type Item struct {
	Verb    Verb           `json:"verb"`
	Kind    string         `json:"kind"` // a part's role, network, image or files
	Name    string         `json:"name"`
	Causes  []string       `json:"causes"`
	Changes []state.Change `json:"changes,omitempty"`
}

// Items sums up the steps by object, in the order in which they are first touched.
func (p BottlePlan) Items() []Item {
	items := []Item{}
	index := map[string]int{}
	for _, s := range p.Steps {
		if s.Record {
			continue
		}
		kind, verb := s.subject()
		i, seen := index[kind+s.Object]
		if !seen {
			i = len(items)
			index[kind+s.Object] = i
			items = append(items, Item{Verb: verb, Kind: kind, Name: s.Object})
		}
		items[i].add(verb, s)
	}
	return items
}

func (i *Item) add(verb Verb, s Step) {
	switch {
	case i.Verb == VerbRemove && verb == VerbCreate, i.Verb == VerbCreate && verb == VerbRemove:
		i.Verb = VerbReplace
	case i.Verb == VerbChange && verb != VerbChange:
		i.Verb = verb
	}
	if len(i.Causes) == 0 || i.Causes[len(i.Causes)-1] != s.Cause {
		i.Causes = append(i.Causes, s.Cause)
	}
	i.Changes = append(i.Changes, s.Changes...)
}

func (s Step) subject() (kind string, verb Verb) {
	switch s.Action {
	case EnsureImage, BuildImage:
		return "image", VerbCreate
	case CreateNetwork:
		return "network", VerbCreate
	case RemoveNetwork:
		return "network", VerbRemove
	case WriteFiles:
		if s.Cause == causeDirMissing {
			return "files", VerbCreate
		}
		return "files", VerbChange
	case RemoveFiles:
		return "files", VerbRemove
	case Create:
		return string(s.Part), VerbCreate
	case Remove:
		return string(s.Part), VerbRemove
	case Start, Stop, Await, Reload, Unpause, Connect, Reconnect, Disconnect, UpdateLimits:
	}
	return string(s.Part), VerbChange
}

// Write prints a plan for people. paint colours a text as its sign asks for.
func (p Plan) Write(w io.Writer, paint func(sign, text string) string) error {
	out := &printer{w: w}
	counts := map[Verb]int{}
	failed := false
	for _, b := range p.Bottles {
		items := b.Items()
		if b.Err != nil {
			failed = true
			out.f("bottle %s: %s\n\n", b.Slug, paint("!", b.Err.Error()))
			continue
		}
		if b.Stale != nil {
			failed = true
			out.f("bottle %s: %s\n\n", b.Slug, paint("!", b.Stale.Error()))
		}
		if len(items) == 0 {
			continue
		}
		out.f("bottle %s\n", b.Slug)
		for _, i := range items {
			counts[i.Verb]++
			out.item(i, paint)
		}
		out.f("\n")
	}
	if len(p.Held) > 0 {
		out.f("kept, though not declared: %s (%s)\n\n", strings.Join(p.Held, ", "), p.HeldWhy)
	}
	switch {
	case len(counts) > 0:
	case failed || len(p.Held) > 0:
		out.f("No changes.\n")
		return out.err
	default:
		out.f("No changes. What runs is as declared.\n")
		return out.err
	}
	out.f("Plan: %d to create, %d to change, %d to replace, %d to remove.\n", counts[VerbCreate], counts[VerbChange], counts[VerbReplace], counts[VerbRemove])
	return out.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func (p *printer) item(i Item, paint func(sign, text string) string) {
	sign := i.Verb.Sign()
	p.f("  %s\n", paint(sign, fmt.Sprintf("%-3s %-10s %s", sign, i.Kind, i.Name)))
	for _, c := range i.Causes {
		p.f("        %s\n", c)
	}
	for _, c := range i.Changes {
		if !strings.Contains(c.Before+c.After, "\n") {
			p.f("          %s: %s -> %s\n", c.Field, c.Before, c.After)
			continue
		}
		p.f("          %s:\n", c.Field)
		p.lines("- ", c.Before)
		p.lines("+ ", c.After)
	}
}

func (p *printer) lines(sign, text string) {
	for _, l := range strings.Split(text, "\n") {
		if l != "" {
			p.f("            %s%s\n", sign, l)
		}
	}
}
