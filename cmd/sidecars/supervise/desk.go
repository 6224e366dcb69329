package supervise

import (
	"context"
	"errors"
	"sync"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/state/queue"
)

var (
	errStopping = errors.New("supervise is restarting; your proposal is kept: call the tool again with the same arguments")
	errRemoved  = errors.New("the proposal was removed without an answer; call the tool again if you still need it")
	errLeft     = errors.New("the agent left")
)

// desk holds what the agent has asked for and not yet been told. Calls for the same thing share one
// proposal: an agent that lost its connection, or whose sidecar was restarted, asks again and finds its
// proposal, or the answer that came meanwhile.
type desk struct {
	slug  string
	queue *queue.Queue
	log   zerolog.Logger

	ctx  context.Context // ends, with errStopping, when the sidecar does
	stop func()

	mu   sync.Mutex
	asks map[request]*ask
}

// request is what makes two calls the same. The justification is not part of it: a repeated call words it
// differently.
type request struct {
	tool    queue.Tool
	payload string
}

// ask is one proposal that calls are waiting for.
type ask struct {
	request request
	id      string
	cancel  context.CancelCauseFunc
	callers int // guarded by desk.mu

	done   chan struct{} // closed when answer or err is set
	answer queue.Answer
	err    error
}

func newDesk(slug string, q *queue.Queue, logger zerolog.Logger) *desk {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &desk{
		slug: slug, queue: q, log: logger, asks: map[request]*ask{},
		ctx: ctx, stop: func() { cancel(errStopping) },
	}
}

// wait queues a request, unless it is queued already, and returns its answer when a human has given it.
// When ctx ends and no other call waits for the same, the proposal is withdrawn. beat is called whenever
// tick fires.
func (d *desk) wait(ctx context.Context, r request, justification string, tick <-chan struct{}, beat func()) (*ask, error) {
	a, err := d.attach(r, justification)
	if err != nil {
		return nil, err
	}
	defer d.detach(a)
	for {
		select {
		case <-a.done:
			if errors.Is(a.err, queue.ErrGone) {
				return a, errRemoved
			}
			return a, a.err
		case <-d.ctx.Done():
			return a, errStopping
		case <-ctx.Done():
			return a, context.Cause(ctx)
		case <-tick:
			beat()
		}
	}
}

func (d *desk) attach(r request, justification string) (*ask, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx.Err() != nil {
		return nil, errStopping
	}
	if a, waiting := d.asks[r]; waiting {
		a.callers++
		return a, nil
	}
	p, err := d.findOrSubmit(r, justification)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(d.ctx)
	a := &ask{request: r, id: p.ID, cancel: cancel, callers: 1, done: make(chan struct{})}
	d.asks[r] = a
	go d.follow(ctx, a)
	return a, nil
}

// findOrSubmit returns the proposal that an earlier life of this sidecar queued, or that was answered
// when nobody listened, or a new one.
func (d *desk) findOrSubmit(r request, justification string) (queue.Proposal, error) {
	entries, problems, err := d.queue.List()
	if err != nil {
		return queue.Proposal{}, err
	}
	for _, problem := range problems {
		d.log.Warn().Err(problem).Msg("a file in the queue is ignored")
	}
	for _, e := range entries {
		withdrawn := e.Answer != nil && e.Answer.Status == queue.Withdrawn
		if !withdrawn && (request{e.Proposal.Tool, e.Proposal.Payload}) == r {
			d.event("proposal-found", e.Proposal.ID, r).Msg("the agent asks again")
			return e.Proposal, nil
		}
	}
	p, err := d.queue.Submit(queue.Proposal{Bottle: d.slug, Tool: r.tool, Justification: justification, Payload: r.payload})
	if err == nil {
		d.event("proposal", p.ID, r).Msg("waiting for a human")
	}
	return p, err
}

// follow sets an ask's outcome, once.
func (d *desk) follow(ctx context.Context, a *ask) {
	answer, err := d.queue.Wait(ctx, a.id)
	d.mu.Lock()
	if d.asks[a.request] == a {
		delete(d.asks, a.request)
	}
	d.mu.Unlock()
	a.answer, a.err = answer, err
	close(a.done)
	if err == nil {
		d.event("answer", a.id, a.request).Str("status", string(answer.Status)).Msg("answered")
	}
}

// detach ends one call's interest. The last caller to leave an unanswered proposal withdraws it, unless it
// is the sidecar that ends the calls. The lock is held all along: a call for the same must find either a
// proposal that still counts or none.
func (d *desk) detach(a *ask) {
	d.mu.Lock()
	defer d.mu.Unlock()
	a.callers--
	if a.callers > 0 {
		return
	}
	a.cancel(errLeft)
	if d.asks[a.request] != a {
		return // it has its outcome
	}
	delete(d.asks, a.request)
	if d.ctx.Err() != nil {
		return
	}
	err := d.queue.Withdraw(a.id, "the agent no longer waits for an answer")
	switch {
	case err == nil:
		d.event("withdrawn", a.id, a.request).Msg("the agent no longer waits")
	case !errors.Is(err, queue.ErrAnswered) && !errors.Is(err, queue.ErrGone):
		d.log.Error().Err(err).Str("id", a.id).Msg("the proposal could not be withdrawn; it still waits for a human")
	}
}

// delivered takes an answered proposal out of the queue.
func (d *desk) delivered(id string) {
	if err := d.queue.Remove(id); err != nil {
		d.log.Error().Err(err).Str("id", id).Msg("a delivered answer stays in the queue; an equal proposal would get it again")
	}
}

func (d *desk) event(name, id string, r request) *zerolog.Event {
	return d.log.Info().Str("event", name).Str("id", id).Str("tool", string(r.tool))
}
