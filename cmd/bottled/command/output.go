package command

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/plan"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/printable"
)

// Output is the -o flag: table, json, yaml, or a format of the command's own.
type Output string

// AddFlag declares the flag.
func (o *Output) AddFlag(f *pflag.FlagSet, own ...string) {
	*o = "table"
	formats := append([]string{"table", "json", "yaml"}, own...)
	f.VarP(Choice((*string)(o), formats...), "output", "o", "`format`: "+OneOf(formats))
}

// Data prints for programs; false when the format is the one for people. What is not safe to show is escaped in the way of
// the format.
func (o Output) Data(c terminal.Console, v any) (bool, error) {
	if o != "json" && o != "yaml" {
		return false, nil
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return true, err
	}
	if o == "json" {
		return true, c.Data(printable.JSON(text.Bytes()))
	}
	quoted := printable.YAML(text.Bytes()) // JSON is YAML, too, and all its texts are in quotes
	plain, err := yaml.JSONToYAML(quoted)
	if err != nil {
		return true, err
	}
	if !printable.IsSafe(plain) {
		plain = quoted
	}
	return true, c.Data(plain)
}

// Status prints the status of bottles.
func (o Output) Status(c terminal.Console, status reconciler.Status) error {
	if status.Bottles == nil {
		status.Bottles = []reconciler.BottleStatus{}
	}
	if done, err := o.Data(c, status); done {
		return err
	}
	for _, l := range report.Full(status, time.Now()) {
		if err := c.Data([]byte(c.Print(l) + "\n")); err != nil {
			return err
		}
	}
	return nil
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

// Plan prints a plan.
func (o Output) Plan(c terminal.Console, plan service.Planned) error {
	v := planJSON{Changes: plan.Changes(), PipelockImage: plan.Settings.ImageSetting(state.Pipelock), Bottles: []bottlePlanJSON{}, Held: plan.Held, HeldReason: plan.HeldWhy}
	for _, b := range plan.Bottles {
		p := bottlePlanJSON{Slug: b.Slug, Items: b.Items()}
		if b.Err != nil {
			p.Error = b.Err.Error()
		}
		v.Bottles = append(v.Bottles, p)
	}
	if done, err := o.Data(c, v); done {
		return err
	}
	if err := plan.Write(c.Writer(), c.Paint); err != nil {
		return err
	}
	return c.Line("pipelock: %s", plan.Settings.ImageSetting(state.Pipelock))
}
