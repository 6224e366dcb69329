package service

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
	"github.com/bot-bottle/bottled/state/store"
)

// How much of what an agent can cause as often as it likes is in a description.
const (
	describedEvents    = 20
	describedProposals = 20
	describedDenials   = 10
)

// Description is what is known of one bottle.
type Description struct {
	Status   reconciler.BottleStatus `json:"status"`
	Manifest string                  `json:"manifest"`
	// Spec is what the bottle was declared with last, and runs with if the status says so. It holds no secret.
	Spec     v1alpha1.Spec       `json:"spec"`
	Networks []DescribedNetwork  `json:"networks"`
	Limits   []DescribedLimits   `json:"limits"`
	Waiting  []DescribedProposal `json:"proposals"` // for a person's answer
	Denied   []Observed          `json:"denied"`    // what was asked for most often and refused
	Events   []reconciler.Event  `json:"events"`    // the last ones; none without a controller
	Warnings []string            `json:"warnings,omitempty"`
}

// DescribedNetwork is one of a bottle's networks.
type DescribedNetwork struct {
	Name     string       `json:"name"`
	Subnet   netip.Prefix `json:"subnet"`
	Internal bool         `json:"internal"`
}

// DescribedLimits are a component's limits; 0 is no limit.
type DescribedLimits struct {
	Component state.ComponentName `json:"component"`
	Memory    int64               `json:"memory"` // bytes
	NanoCPUs  int64               `json:"nanoCPUs"`
	Pids      int64               `json:"pids"`
}

// DescribedProposal is what an agent asks a person for. All but the ID is its word.
type DescribedProposal struct {
	ID            string     `json:"id"`
	Time          time.Time  `json:"time"`
	Tool          queue.Tool `json:"tool"`
	URL           string     `json:"url,omitempty"` // that is to be allowed
	Justification string     `json:"justification"`
}

// Describe tells all that is known of a bottle.
func (s *Service) Describe(ctx context.Context, bottle string) (Description, error) {
	source, err := s.StatusSource()
	if err != nil {
		return Description{}, err
	}
	status, err := source.Get(ctx)
	if err != nil {
		return Description{}, err
	}
	selected, err := status.Select([]string{bottle})
	if err != nil {
		return Description{}, err
	}
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return Description{}, err
	}
	d := Description{Status: selected[0], Networks: []DescribedNetwork{}, Limits: []DescribedLimits{}, Waiting: []DescribedProposal{}, Denied: []Observed{}, Events: []reconciler.Event{}}
	for _, err := range []error{
		d.addDeclaration(settings, bottle), d.addProposals(settings, bottle), d.addDenials(ctx, s, bottle), d.addEvents(ctx, s, bottle),
	} {
		if err != nil { // the rest is worth knowing all the same
			d.Warnings = append(d.Warnings, err.Error())
		}
	}
	return d, nil
}

func (d *Description) addDeclaration(settings state.Settings, bottle string) error {
	b, found, err := store.ReadRecord(settings, bottle)
	if err != nil || !found { // a bottle that was never made has none
		return err
	}
	d.Manifest, d.Spec = b.Manifest, b.Declared.Spec
	for _, n := range b.Networks {
		d.Networks = append(d.Networks, DescribedNetwork{n.Name, n.Subnet, n.Internal})
	}
	for _, c := range b.Components {
		l := c.Container.Limits
		d.Limits = append(d.Limits, DescribedLimits{c.Name, l.Memory, l.NanoCPUs, l.Pids})
	}
	return nil
}

func (d *Description) addProposals(settings state.Settings, bottle string) error {
	q, err := queue.Open(settings.QueueDir(bottle))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	pending, problems, err := q.Pending()
	for _, p := range pending[:min(len(pending), describedProposals)] {
		described := DescribedProposal{ID: p.ID, Time: p.Created, Tool: p.Tool, Justification: p.Justification}
		if p.Tool == queue.PipelockBlock {
			described.URL = p.Payload
		}
		d.Waiting = append(d.Waiting, described)
	}
	if more := len(pending) - describedProposals; more > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%d more proposals wait", more))
	}
	if len(problems) > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s in the proposals' queue can't be read, the first: %v", report.Count(len(problems), "file"), problems[0]))
	}
	return errors.Join(err, q.Close())
}

func (d *Description) addDenials(ctx context.Context, s *Service, bottle string) error {
	if d.Manifest == "" {
		return nil
	}
	all, err := s.Observe(ctx, bottle, time.Time{})
	d.Denied = append(d.Denied, all[:min(len(all), describedDenials)]...)
	return err
}

func (d *Description) addEvents(ctx context.Context, s *Service, bottle string) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	all, err := api.Dial(socket).Events(ctx, bottle, 0)
	if errors.Is(err, api.ErrNoController) {
		return nil // it is the one that remembers
	}
	d.Events = append(d.Events, all[max(0, len(all)-describedEvents):]...)
	return err
}
