package service

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/store"
)

// BottleNames are the names of the owner's bottles and of their components, from the controller or, where none runs, from the engine.
func (s *Service) BottleNames(ctx context.Context) (names map[string][]state.ComponentName, err error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return nil, err
	}
	status, err := api.Dial(socket).Status(ctx)
	if err == nil {
		names = map[string][]state.ComponentName{}
		for _, b := range status.Bottles {
			names[b.Slug] = nil
			for _, c := range b.Components {
				names[b.Slug] = append(names[b.Slug], c.Component)
			}
		}
		return names, nil
	}
	if !errors.Is(err, api.ErrNoController) {
		return nil, err
	}
	e, err := s.OpenEngine(state.Settings{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	return bottlesOf(ctx, e, s.Settings.Owner)
}

// missing is the error about a bottle or component that has no container.
func missing(ctx context.Context, e engine.Reader, owner string, of Target) error {
	known, err := bottlesOf(ctx, e, owner)
	if err != nil {
		return err
	}
	if components, has := known[of.Bottle]; has {
		return fmt.Errorf("bottle %s has no %s; it has %s", of.Bottle, of.Component, joinNames(components))
	}
	return reconciler.NoBottle(of.Bottle, slices.Collect(maps.Keys(known)))
}

// notRecorded is the error about a bottle that was never declared here. It needs no engine.
func notRecorded(settings state.Settings, name string) error {
	records, err := store.ReadRecords(settings)
	if err != nil {
		return err
	}
	var known []string
	for _, b := range records {
		known = append(known, b.Slug)
	}
	return reconciler.NoBottle(name, known)
}

func joinNames(components []state.ComponentName) string {
	names := make([]string, len(components))
	for i, name := range components {
		names[i] = string(name)
	}
	return strings.Join(names, ", ")
}

// bottlesOf are the bottles and components that an owner has on the engine; sessions are no components.
func bottlesOf(ctx context.Context, e engine.Reader, owner string) (map[string][]state.ComponentName, error) {
	containers, err := e.Containers(ctx, owner, "")
	if err != nil {
		return nil, err
	}
	names := map[string][]state.ComponentName{}
	for _, c := range containers {
		components := names[c.Slug()]
		if kinds.All.Has(c.Component()) && !slices.Contains(components, c.Component()) {
			components = append(components, c.Component())
		}
		slices.SortFunc(components, kinds.All.Compare)
		names[c.Slug()] = components
	}
	return names, nil
}
