package service

import (
	"context"
	"errors"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/pass"
)

// statusInterval is the time between two polls where no controller runs.
const statusInterval = 2 * time.Second

// StatusSource reads the status of the bottles: from the controller where one runs, from the engine where none does.
type StatusSource struct {
	controller statusClient
	engine     func(context.Context) (reconciler.Status, error)
	interval   time.Duration // between two polls of the engine
}

// statusClient reads the status from a running controller: an [api.Client].
type statusClient interface {
	Status(ctx context.Context) (reconciler.Status, error)
	Watch(ctx context.Context, show func(reconciler.Status) error) error
}

// StatusSource opens the source of the bottles' status. Neither a controller nor the engine is asked yet.
func (s *Service) StatusSource() (*StatusSource, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return nil, err
	}
	var r *pass.Reconciler // from the first poll on
	engine := func(ctx context.Context) (status reconciler.Status, err error) {
		if r == nil {
			if r, err = s.reconciler(ctx); err != nil {
				return status, err
			}
		}
		warnings := warningsOf(ctx, r)
		status.Bottles, err = r.Status(ctx)
		w := <-warnings
		status.Warnings = w.all
		return status, errors.Join(err, w.err)
	}
	return &StatusSource{controller: api.Dial(socket), engine: engine, interval: statusInterval}, nil
}

// Status reads the status once.
func (s *Service) Status(ctx context.Context) (reconciler.Status, error) {
	source, err := s.StatusSource()
	if err != nil {
		return reconciler.Status{}, err
	}
	return source.Get(ctx)
}

// Get reads the status once.
func (s *StatusSource) Get(ctx context.Context) (reconciler.Status, error) {
	status, err := s.controller.Status(ctx)
	if errors.Is(err, api.ErrNoController) {
		return s.engine(ctx)
	}
	return status, err
}

// Follow calls show with the status, at once and whenever it may have changed, until ctx ends or show fails. The controller may
// come and go meanwhile. Other errors go to report, and Follow goes on; before the first status they end it.
func (s *StatusSource) Follow(ctx context.Context, show func(reconciler.Status) error, report func(error)) error {
	return follower[reconciler.Status]{s.controller.Watch, s.engine, s.interval}.follow(ctx, show, report)
}
