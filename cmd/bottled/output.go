package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/printable"
)

// output is the -o flag.
type output struct{ format string }

func (o *output) add(f *pflag.FlagSet) {
	f.StringVarP(&o.format, "output", "o", "table", "`format`: table, json or yaml")
}

func (o output) check() error {
	switch o.format {
	case "table", "json", "yaml":
		return nil
	}
	return exitError{exitBadInput, fmt.Errorf("--output %q: use table, json or yaml", o.format)}
}

// data prints for programs; false when the format is the one for people. What a terminal would not show as it is, is escaped in
// the way of the format.
func (o output) data(c console, v any) (bool, error) {
	if o.format == "table" {
		return false, nil
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return true, err
	}
	if o.format == "json" {
		return true, c.data(printable.JSON(text.Bytes()))
	}
	quoted := printable.YAML(text.Bytes()) // JSON is YAML, too, and all its texts are in quotes
	plain, err := yaml.JSONToYAML(quoted)
	if err != nil {
		return true, err
	}
	if !printable.IsSafe(plain) {
		plain = quoted
	}
	return true, c.data(plain)
}

// bottles prints what a pass made, or what runs where no controller does.
func (o output) bottles(c console, bottles []reconciler.BottleStatus) error {
	return o.live(c, reconciler.Status{Bottles: bottles})
}

func (o output) live(c console, live reconciler.Status) error {
	if live.Bottles == nil {
		live.Bottles = []reconciler.BottleStatus{}
	}
	if done, err := o.data(c, live); done {
		return err
	}
	for _, l := range report(live, time.Now(), everything) {
		if err := c.data([]byte(c.print(l) + "\n")); err != nil {
			return err
		}
	}
	return nil
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// imageName says which images are bottled's own.
func imageName(ref string) string {
	if strings.HasPrefix(ref, "bottled:") {
		return "builtin (" + ref + ")"
	}
	return ref
}

type bottlePlanJSON struct {
	Slug  string      `json:"slug"`
	Error string      `json:"error,omitempty"`
	Items []plan.Item `json:"items"`
}

type planJSON struct {
	Changes       bool             `json:"changes"`
	PipelockImage string           `json:"pipelockImage"`
	Bottles       []bottlePlanJSON `json:"bottles"`
	Held          []string         `json:"held,omitempty"`
	HeldReason    string           `json:"heldReason,omitempty"`
}

func (o output) plan(c console, plan plan.Plan, s state.Settings) error {
	v := planJSON{Changes: plan.Changes(), PipelockImage: s.ImageSetting(state.Pipelock), Bottles: []bottlePlanJSON{}, Held: plan.Held, HeldReason: plan.HeldWhy}
	for _, b := range plan.Bottles {
		p := bottlePlanJSON{Slug: b.Slug, Items: b.Items()}
		if b.Err != nil {
			p.Error = b.Err.Error()
		}
		v.Bottles = append(v.Bottles, p)
	}
	if done, err := o.data(c, v); done {
		return err
	}
	if err := plan.Write(c.w, c.paint); err != nil {
		return err
	}
	return c.line("pipelock: %s", s.ImageSetting(state.Pipelock))
}
