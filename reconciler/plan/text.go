package plan

import (
	"fmt"
	"io"
	"strings"

	"github.com/bot-bottle/bottled/state/observe"
)

// Verb is what a plan does with one object.
type Verb string

// The verbs. Their signs are terraform's.
const (
	VerbCreate  Verb = "create"
	VerbChange  Verb = "change"
	VerbReplace Verb = "replace"
	VerbRemove  Verb = "remove"
)

// Sign returns + ~ -/+ or -.
func (v Verb) Sign() string {
	return map[Verb]string{VerbCreate: "+", VerbChange: "~", VerbReplace: "-/+", VerbRemove: "-"}[v]
}

// Item is the sum of all steps on one object.
type Item struct {
	Verb    Verb             `json:"verb"`
	Kind    string           `json:"kind"` // a component's name, network, volume, image or files
	Name    string           `json:"name"`
	Causes  []string         `json:"causes"`
	Changes []observe.Change `json:"changes,omitempty"`
}

// Items returns the steps summed up by object, in the order in which the objects are first touched.
func (p BottlePlan) Items() []Item {
	items := []Item{}
	index := map[string]int{}
	for _, s := range p.Steps {
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
	case CreateVolume:
		return "volume", VerbCreate
	case RemoveVolume:
		return "volume", VerbRemove
	case WriteFiles:
		if s.Cause == causeDirMissing {
			return "files", VerbCreate
		}
		return "files", VerbChange
	case RemoveFiles:
		return "files", VerbRemove
	case Create:
		return string(s.Component), VerbCreate
	case Remove:
		return string(s.Component), VerbRemove
	case Start, Stop, Await, Reload, Unpause, Connect, Reconnect, Disconnect, UpdateLimits:
	}
	return string(s.Component), VerbChange
}

// Write prints a plan for people. paint escapes the text of a line and colours it by its sign, if it has one.
func (p Plan) Write(w io.Writer, paint func(sign, text string) string) error {
	out := &printer{w: w, paint: paint}
	counts := map[Verb]int{}
	failed := false
	for _, b := range p.Bottles {
		items := b.Items()
		if b.Err != nil {
			failed = true
			out.lines("!", "bottle "+b.Slug+": ", "  ", b.Err.Error())
			out.line("", "")
			continue
		}
		if b.Stale != nil {
			failed = true
			out.lines("!", "bottle "+b.Slug+": ", "  ", b.Stale.Error())
			out.line("", "")
		}
		if len(items) == 0 {
			continue
		}
		out.line("", "bottle "+b.Slug)
		for _, i := range items {
			counts[i.Verb]++
			out.item(i)
		}
		out.line("", "")
	}
	if len(p.Held) > 0 {
		out.line("", fmt.Sprintf("kept, though not declared: %s (%s)", strings.Join(p.Held, ", "), p.HeldWhy))
		out.line("", "")
	}
	switch {
	case len(counts) > 0:
	case failed || len(p.Held) > 0:
		out.line("", "No changes.")
		return out.err
	default:
		out.line("", "No changes. What runs is as declared.")
		return out.err
	}
	out.line("", fmt.Sprintf("Plan: %d to create, %d to change, %d to replace, %d to remove.",
		counts[VerbCreate], counts[VerbChange], counts[VerbReplace], counts[VerbRemove]))
	return out.err
}

type printer struct {
	w     io.Writer
	paint func(sign, text string) string
	err   error
}

func (p *printer) line(sign, text string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, p.paint(sign, text))
	}
}

// lines prints the lines of a text, with a prefix for the first and one for the others. Empty lines are left out.
func (p *printer) lines(sign, first, others, text string) {
	for l := range strings.SplitSeq(text, "\n") {
		if l != "" {
			p.line(sign, first+l)
			first = others
		}
	}
}

func (p *printer) item(i Item) {
	sign := i.Verb.Sign()
	p.line(sign, fmt.Sprintf("  %-3s %-10s %s", sign, i.Kind, i.Name))
	for _, c := range i.Causes {
		p.lines("", "        ", "          ", c)
	}
	for _, c := range i.Changes {
		if !strings.Contains(c.Before+c.After, "\n") {
			p.line("", fmt.Sprintf("          %s: %s -> %s", c.Field, c.Before, c.After))
			continue
		}
		p.line("", fmt.Sprintf("          %s:", c.Field))
		p.lines("", "            - ", "            - ", c.Before)
		p.lines("", "            + ", "            + ", c.After)
	}
}
