package service

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

// besideController explains why bottles can't be deleted while locked says that another process works on them: a controller would make them
// again, so what counts is their manifests.
func (s *Service) besideController(ctx context.Context, names []string, locked error) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	status, err := api.Dial(socket).Status(ctx)
	if errors.Is(err, api.ErrNoController) {
		return locked // another pass
	}
	if err != nil {
		return errors.Join(locked, err)
	}
	if _, err := status.Select(names); err != nil {
		return err
	}
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return err
	}
	records, err := store.ReadRecords(settings)
	if err != nil {
		return err
	}
	return manifestsToRemove(status, settings, records, names)
}

func manifestsToRemove(status reconciler.Status, settings state.Settings, records []state.Bottle, names []string) error {
	lines := []string{"a controller keeps these bottles, and removes one when its manifest is removed:"}
	for _, b := range records {
		if len(names) > 0 && !slices.Contains(names, b.Slug) {
			continue
		}
		where := b.Manifest
		if state.Within(b.Manifest, settings.CheckoutDir()) && status.Controller != nil {
			where = fmt.Sprintf("%s in %s", where, strings.Join(status.Controller.Sources, ", "))
		}
		lines = append(lines, fmt.Sprintf("%s: %s", b.Slug, where))
	}
	return errors.New(strings.Join(lines, "\n"))
}
