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

// desk holds what the agent has asked for and not yet been told. Calls for the same thing share one
// proposal: an agent that lost its connection, or whose sidecar was restarted, asks again and finds its
// proposal, or the answer that came meanwhile.
type desk struct {
	slug       string
	currentDir string
	queue      *queue.Queue
	log        zerolog.Logger
	audit      *sidecar.Decisions

	ctx  context.Context // ends, with errStopping, when the sidecar does
	stop func()

	fresh *rate.Limiter // of new proposals

	mu      sync.Mutex
	asks    map[request]*ask
	callers int // of all asks
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

func newDesk(s settings, q *queue.Queue, logger zerolog.Logger) *desk {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &desk{
		slug: s.slug, currentDir: s.currentDir, queue: q, log: sidecar.Bounded(logger), audit: sidecar.NewDecisions(logger), asks: map[request]*ask{},
		ctx: ctx, stop: func() { cancel(errStopping) },
		fresh: rate.NewLimiter(rate.Every(proposalInterval), proposalBurst),
	}
}

// wait returns the answer of an ask that the caller is attached to, when a human has given it, and detaches
// the caller. When ctx ends and no other call waits for the same, the proposal is withdrawn. beat is called
// whenever tick fires.
func (d *desk) wait(ctx context.Context, a *ask, tick <-chan struct{}, beat func()) error {
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
			beat()
		}
	}
}

// attach queues a request, unless it is queued already. Every ask it returns must be waited for.
func (d *desk) attach(r request, justification string) (*ask, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch a, waiting := d.asks[r]; {
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
	a := &ask{request: r, id: p.ID, cancel: cancel, callers: 1, done: make(chan struct{})}
	d.asks[r] = a
	d.callers++
	go d.follow(ctx, a)
	return a, nil
}

// findOrSubmit returns the proposal that an earlier life of this sidecar queued, or that was answered
// when nobody listened, or a new one.
func (d *desk) findOrSubmit(r request, justification string) (queue.Proposal, error) {
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

// list returns what is in the queue, the oldest first.
func (d *desk) list() ([]queue.Entry, error) {
	entries, problems, err := d.queue.List()
	for _, problem := range problems {
		d.log.Warn().Err(problem).Msg("a file in the queue is ignored")
	}
	return entries, err
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
		d.record("answered", a.id, answer.Status, a.request, "answered")
	}
}

// detach ends one call's interest. The last caller to leave an unanswered proposal withdraws it, unless it
// is the sidecar that ends the calls. The lock is held all along: a call for the same must find either a
// proposal that still counts or none.
func (d *desk) detach(a *ask) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.callers--
	if a.callers--; a.callers > 0 {
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
		d.record("withdrawn", a.id, "", a.request, "the agent no longer waits")
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

// record puts on record what becomes of a proposal.
func (d *desk) record(action, id string, status queue.Status, r request, message string) {
	subject := sidecar.Subject{Event: "proposal", Action: action, Tool: string(r.tool)}
	d.audit.Record(subject, 0, 0, message, func(e *zerolog.Event) *zerolog.Event {
		e = e.Str("id", id)
		if status != "" {
			e = e.Str("status", string(status))
		}
		return e
	})
}
