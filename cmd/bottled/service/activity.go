package service

import (
	"context"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/activity"
	"github.com/bot-bottle/bottled/state"
)

// FollowActivity calls show with what the bottles use and do, every few seconds, as StatusSource.Follow does. Where no controller runs
// nothing is known of their requests.
func (s *Service) FollowActivity(ctx context.Context, show func(reconciler.Activity) error, report func(error)) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	source, err := s.StatusSource()
	if err != nil {
		return err
	}
	var meter activity.Meter
	poll := func(ctx context.Context) (a reconciler.Activity, err error) {
		status, err := source.engine(ctx)
		if err != nil {
			return a, err
		}
		e, err := s.connect(ctx, state.Settings{})
		if err != nil {
			return a, err
		}
		a = meter.Measure(ctx, e, status.Bottles, nil)
		return a, e.Close()
	}
	return follower[reconciler.Activity]{api.Dial(socket).WatchActivity, poll, activity.Interval}.follow(ctx, show, report)
}

// PageLink asks the controller for a link to its page, which works once and soon.
func (s *Service) PageLink(ctx context.Context, readOnly bool) (string, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return "", err
	}
	link, err := api.Dial(socket).Link(ctx, readOnly)
	return link, s.explainNoController(err, socket)
}

// HostTraffic reads from the controller what a bottle's sidecars have reported of its requests.
func (s *Service) HostTraffic(ctx context.Context, bottle string) (reconciler.BottleTraffic, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return reconciler.BottleTraffic{}, err
	}
	all, err := api.Dial(socket).Traffic(ctx, bottle)
	return all, s.explainNoController(err, socket)
}
