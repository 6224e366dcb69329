package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
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

// data prints for programs; false when the format is the one for people.
func (o output) data(w io.Writer, v any) (bool, error) {
	switch o.format {
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return true, e.Encode(v)
	case "yaml":
		text, err := yaml.Marshal(v)
		if err != nil {
			return true, err
		}
		_, err = w.Write(text)
		return true, err
	}
	return false, nil
}

// bottles prints what a pass made, or what runs where no controller does.
func (o output) bottles(w io.Writer, bottles []reconciler.BottleStatus) error {
	return o.live(w, reconciler.Live{Bottles: bottles})
}

func (o output) live(w io.Writer, live reconciler.Live) error {
	if live.Bottles == nil {
		live.Bottles = []reconciler.BottleStatus{}
	}
	if done, err := o.data(w, live); done {
		return err
	}
	for _, l := range report(live, time.Now(), everything) {
		if _, err := fmt.Fprintln(w, l.paint()); err != nil {
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
	Slug  string            `json:"slug"`
	Error string            `json:"error,omitempty"`
	Items []reconciler.Item `json:"items"`
}

type planJSON struct {
	Changes       bool             `json:"changes"`
	PipelockImage string           `json:"pipelockImage"`
	Bottles       []bottlePlanJSON `json:"bottles"`
	Held          []string         `json:"held,omitempty"`
	HeldReason    string           `json:"heldReason,omitempty"`
}

func (o output) plan(w io.Writer, plan reconciler.Plan, s state.Settings) error {
	v := planJSON{Changes: plan.Changes(), PipelockImage: s.PipelockImage, Bottles: []bottlePlanJSON{}, Held: plan.Held, HeldReason: plan.HeldWhy}
	for _, b := range plan.Bottles {
		p := bottlePlanJSON{Slug: b.Slug, Items: b.Items()}
		if b.Err != nil {
			p.Error = b.Err.Error()
		}
		v.Bottles = append(v.Bottles, p)
	}
	if done, err := o.data(w, v); done {
		return err
	}
	if err := plan.Write(w, paint); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "pipelock: %s\n", s.PipelockImage)
	return err
}

// paint colours what a sign stands for, on a terminal.
func paint(sign, text string) string {
	colour := map[string]string{"+": "32", "~": "33", "-/+": "35", "-": "31", "!": "31"}[sign]
	if noColour() || !isTerminal(os.Stdout) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
