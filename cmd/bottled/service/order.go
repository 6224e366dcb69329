package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
)

// Order gives the running controller an operator's order, and waits until it is carried out, at most for the timeout. It returns the
// status that the bottle has then.
func (s *Service) Order(ctx context.Context, to Target, order reconciler.Order) (reconciler.BottleStatus, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return reconciler.BottleStatus{}, err
	}
	client := api.Dial(socket)
	if err := client.Order(ctx, to.Bottle, order, to.Component); err != nil {
		return reconciler.BottleStatus{}, s.explainNoController(err, socket)
	}
	return awaitOrder(ctx, client, to.Bottle, s.Settings.Timeout)
}

// errCarriedOut ends a stream.
var errCarriedOut = errors.New("carried out")

func awaitOrder(ctx context.Context, controller statusClient, bottle string, timeout time.Duration) (reconciler.BottleStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last reconciler.BottleStatus
	err := controller.Watch(ctx, func(status reconciler.Status) error {
		found, err := status.Select([]string{bottle})
		if err != nil {
			return err
		}
		if last = found[0]; !last.IsTrue(reconciler.ConditionReconciling) {
			return errCarriedOut
		}
		return nil
	})
	switch {
	case errors.Is(err, errCarriedOut):
		return last, nil
	case errors.Is(err, context.DeadlineExceeded):
		return last, fmt.Errorf("the controller has the order, and has not carried it out after %s: %s", timeout, report.Because(last.Reason, last.Message))
	}
	return last, err
}
