package supervise

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/queue"
)

var (
	errStopping = errors.New("supervise is restarting; your proposal is kept: call the tool again with the same arguments")
	errRemoved  = errors.New("the proposal was removed without an answer; call the tool again if you still need it")
	errLeft     = errors.New("the agent left")
	errTooMany  = errors.New("not queued: too many of your calls are waiting for a human already; wait until some of them are answered")
	errTooFast  = errors.New("not queued: too many proposals in a short time; a human reads every one. Wait a minute, and ask only for what you need")
)

// broker matches the agent's calls with proposals in the queue. Equal calls share one proposal: an agent that lost its connection, or whose
// sidecar was restarted, repeats the call and gets its proposal, or the answer that came in the meantime.
type broker struct {
	slug       string
	currentDir string
	queue      *queue.Queue
	log        zerolog.Logger
	audit      *sidecar.Decisions

	ctx  context.Context // ends with errStopping when the sidecar stops
	stop func()

	fresh *rate.Limiter // limits new proposals

	mu      sync.Mutex
	waiting map[request]*waiter
	callers int // of all waiters
}

// request identifies equal calls. It has no justification, since an agent words that differently when it repeats a call.
type request struct {
	tool    queue.Tool
	payload string
}

// waiter is a proposal that calls wait for.
type waiter struct {
	request request
	id      string
	cancel  context.CancelCauseFunc
	callers int // guarded by broker.mu

	done   chan struct{} // closed when answer or err is set
	answer queue.Answer
	err    error
}

func newBroker(s settings, q *queue.Queue, logger zerolog.Logger) *broker {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &broker{
		slug: s.slug, currentDir: s.currentDir, queue: q, log: sidecar.Bounded(logger), audit: sidecar.NewDecisions(logger), waiting: map[request]*waiter{},
		ctx: ctx, stop: func() { cancel(errStopping) },
		fresh: rate.NewLimiter(rate.Every(proposalInterval), proposalBurst),
	}
}

// wait waits for the answer of a proposal that the caller is attached to, and detaches the caller. If ctx ends and no other call waits for
// the proposal, it is withdrawn. keepAlive is called on every tick.
func (d *broker) wait(ctx context.Context, a *waiter, tick <-chan struct{}, keepAlive func()) error {
	defer d.detach(a)
	for {
		select {
		case <-a.done:
			if errors.Is(a.err, queue.ErrGone) {
				return errRemoved
			}
			return a.err
		case <-d.ctx.Done():
			return errStopping
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick:
			keepAlive()
		}
	}
}

// attach queues a request unless it is queued already. The caller must call wait with the result.
func (d *broker) attach(r request, justification string) (*waiter, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch a, waiting := d.waiting[r]; {
	case d.ctx.Err() != nil:
		return nil, errStopping
	case d.callers >= maxWaiting:
		return nil, errTooMany
	case waiting:
		a.callers++
		d.callers++
		return a, nil
	}
	p, err := d.findOrSubmit(r, justification)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(d.ctx)
	a := &waiter{request: r, id: p.ID, cancel: cancel, callers: 1, done: make(chan struct{})}
	d.waiting[r] = a
	d.callers++
	go d.follow(ctx, a)
	return a, nil
}

// findOrSubmit returns the proposal of an equal call that was queued before a restart, or answered while no call waited; otherwise a new one.
func (d *broker) findOrSubmit(r request, justification string) (queue.Proposal, error) {
	entries, err := d.list()
	if err != nil {
		return queue.Proposal{}, err
	}
	for _, e := range entries {
		withdrawn := e.Answer != nil && e.Answer.Status == queue.Withdrawn
		if !withdrawn && !e.Stale(time.Now()) && (request{e.Proposal.Tool, e.Proposal.Payload}) == r {
			d.record("found", e.Proposal.ID, "", r, "the agent asks again")
			return e.Proposal, nil
		}
	}
	if !d.fresh.Allow() {
		return queue.Proposal{}, errTooFast
	}
	p, err := d.queue.Submit(queue.Proposal{Bottle: d.slug, Tool: r.tool, Justification: justification, Payload: r.payload})
	if err == nil {
		d.record("new", p.ID, "", r, "waiting for a human")
	}
	return p, err
}

// list returns the queue's entries, the oldest first.
func (d *broker) list() ([]queue.Entry, error) {
	entries, problems, err := d.queue.List()
	for _, problem := range problems {
		d.log.Warn().Err(problem).Msg("a file in the queue is ignored")
	}
	return entries, err
}

// follow waits for the answer to a proposal and sets the waiter's outcome.
func (d *broker) follow(ctx context.Context, a *waiter) {
	answer, err := d.queue.Wait(ctx, a.id)
	d.mu.Lock()
	if d.waiting[a.request] == a {
		delete(d.waiting, a.request)
	}
	d.mu.Unlock()
	a.answer, a.err = answer, err
	close(a.done)
	if err == nil {
		d.record("answered", a.id, answer.Status, a.request, "answered")
	}
}

// detach removes a caller. The last caller of an unanswered proposal withdraws it, unless the sidecar is stopping. It holds the lock
// throughout: an equal call must find either a valid proposal or none.
func (d *broker) detach(a *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.callers--
	if a.callers--; a.callers > 0 {
		return
	}
	a.cancel(errLeft)
	if d.waiting[a.request] != a {
		return // it is answered
	}
	delete(d.waiting, a.request)
	if d.ctx.Err() != nil {
		return
	}
	err := d.queue.Withdraw(a.id, "the agent no longer waits for an answer")
	switch {
	case err == nil:
		d.record("withdrawn", a.id, "", a.request, "the agent no longer waits")
	case !errors.Is(err, queue.ErrAnswered) && !errors.Is(err, queue.ErrGone):
		d.log.Error().Err(err).Str("id", a.id).Msg("the proposal could not be withdrawn; it still waits for a human")
	}
}

// delivered removes an answered proposal from the queue.
func (d *broker) delivered(id string) {
	if err := d.queue.Remove(id); err != nil {
		d.log.Error().Err(err).Str("id", id).Msg("a delivered answer stays in the queue; an equal proposal would get it again")
	}
}

// record logs a decision about a proposal.
func (d *broker) record(action, id string, status queue.Status, r request, message string) {
	subject := sidecar.Subject{Event: "proposal", Action: action, Tool: string(r.tool)}
	d.audit.Record(subject, 0, 0, message, func(e *zerolog.Event) *zerolog.Event {
		e = e.Str("id", id)
		if status != "" {
			e = e.Str("status", string(status))
		}
		return e
	})
}
