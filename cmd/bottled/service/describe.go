package service

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
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
	Spec     v1alpha1.Spec         `json:"spec"`
	Networks []DescribedNetwork    `json:"networks"`
	Limits   []DescribedLimits     `json:"limits"`
	Waiting  []reconciler.Proposal `json:"proposals"` // for a decision, or for being carried out
	Denied   []Observed            `json:"denied"`    // what was asked for most often and refused
	Events   []reconciler.Event    `json:"events"`    // the last ones; none without a controller
	Warnings []string              `json:"warnings,omitempty"`
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
	d := Description{Status: selected[0], Networks: []DescribedNetwork{}, Limits: []DescribedLimits{}, Waiting: []reconciler.Proposal{}, Denied: []Observed{}, Events: []reconciler.Event{}}
	for _, err := range []error{
		d.addDeclaration(settings, bottle), d.addProposals(ctx, s, bottle), d.addDenials(ctx, s, bottle), d.addEvents(ctx, s, bottle),
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

func (d *Description) addProposals(ctx context.Context, s *Service, bottle string) error {
	all, err := s.Proposals(ctx)
	if err != nil {
		return err
	}
	for _, p := range all.Proposals {
		if p.Bottle == bottle && p.State != reconciler.ProposalAnswered {
			d.Waiting = append(d.Waiting, p)
		}
	}
	if more := len(d.Waiting) - describedProposals; more > 0 {
		d.Waiting = d.Waiting[:describedProposals]
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s not shown here: bottled proposals %s", report.Count(more, "more proposal"), bottle))
	}
	d.Warnings = append(d.Warnings, all.Warnings...)
	return nil
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
