package service

import (
	"context"
	"errors"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
)

// follower shows something that a controller serves as a stream, and that can be polled where no controller runs.
type follower[T any] struct {
	watch    func(ctx context.Context, show func(T) error) error
	poll     func(ctx context.Context) (T, error)
	interval time.Duration // between two polls
}

// follow calls show at once and after every change, until ctx ends or show fails. The controller may come and go meanwhile. Other errors
// go to report, and it goes on; before anything was shown they end it.
func (f follower[T]) follow(ctx context.Context, show func(T) error, report func(error)) error {
	var failed error
	shown := 0
	counted := func(v T) error {
		shown++
		failed = show(v)
		return failed
	}
	for {
		before, pause := shown, f.interval
		err := f.watch(ctx, counted)
		streamed := shown > before
		if errors.Is(err, api.ErrNoController) {
			err = f.pollOnce(ctx, counted)
		}
		switch {
		case failed != nil:
			return failed
		case ctx.Err() != nil:
			return nil
		case err != nil && shown == 0:
			return err
		case streamed: // and ended: whoever is there now is asked soon
			pause /= 10
		case err != nil:
			report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (f follower[T]) pollOnce(ctx context.Context, show func(T) error) error {
	v, err := f.poll(ctx)
	if err != nil {
		return err
	}
	return show(v)
}
