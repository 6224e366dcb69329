package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// usageQueries is how many containers the engine is asked about at once.
const usageQueries = 8

// Usage is what the containers of a status use, by their names. A container that does not run is missing.
func (s *Service) Usage(ctx context.Context, status reconciler.Status) (usage map[string]engine.Usage, err error) {
	e, err := s.connect(ctx, state.Settings{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	var mu sync.Mutex
	usage = map[string]engine.Usage{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(usageQueries)
	for _, b := range status.Bottles {
		for _, c := range b.Components {
			if c.State != engine.StateRunning {
				continue
			}
			group.Go(func() error {
				used, err := e.Usage(ctx, c.Name)
				if errors.Is(err, engine.ErrNotFound) { // it has ended since
					return nil
				}
				mu.Lock()
				defer mu.Unlock()
				usage[c.Name] = used
				return err
			})
		}
	}
	return usage, group.Wait()
}

// OwnedBottle is a bottle on the engine, whoever owns it.
type OwnedBottle struct {
	Owner      string `json:"owner"`
	Bottle     string `json:"bottle"`
	Containers int    `json:"containers"`
	Running    int    `json:"running"`
	StateDir   string `json:"stateDir"` // of its controller
}

// OwnedBottles lists the bottles of all owners.
func (s *Service) OwnedBottles(ctx context.Context) (all []OwnedBottle, err error) {
	e, err := s.connect(ctx, state.Settings{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	networks, err := e.Networks(ctx) // whoever owns them
	if err != nil {
		return nil, err
	}
	var owners []string
	for _, n := range networks {
		if owner := n.Labels[state.LabelOwner]; owner != "" {
			owners = append(owners, owner)
		}
	}
	slices.Sort(owners)
	for _, owner := range slices.Compact(owners) {
		containers, err := e.Containers(ctx, owner, "")
		if err != nil {
			return nil, err
		}
		all = append(all, countBottles(owner, containers)...)
	}
	return all, nil
}

func countBottles(owner string, containers []engine.Summary) []OwnedBottle {
	var all []OwnedBottle
	for _, c := range containers {
		i := slices.IndexFunc(all, func(b OwnedBottle) bool { return b.Bottle == c.Slug() })
		if i < 0 {
			i, all = len(all), append(all, OwnedBottle{Owner: owner, Bottle: c.Slug(), StateDir: c.Labels[state.LabelStateDir]})
		}
		all[i].Containers++
		if c.State == engine.StateRunning {
			all[i].Running++
		}
	}
	slices.SortFunc(all, func(a, b OwnedBottle) int { return cmp.Compare(a.Bottle, b.Bottle) })
	return all
}
