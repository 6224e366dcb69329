package supervise

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	errLeft     = errors.New("no call waits any more")
	errTooMany  = errors.New("not queued: too many of your calls are waiting for a human already; wait until some of them are answered")
	errFull     = fmt.Errorf("not queued: too many of your proposals wait for a human; at most %d and %d MiB may. Wait until some of them are answered; proposal-status shows them", queue.MaxPending, queue.MaxBytes>>20)
	errTooFast  = errors.New("not queued: too many proposals in a short time; a human reads every one. Wait a minute, and ask only for what you need")
)

// broker matches the agent's calls with proposals in the queue. A proposal outlives its calls. Equal calls share one: an agent that gave up
// waiting, lost its connection, or whose sidecar was restarted, repeats the call and gets its proposal, or the answer that came in the meantime.
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
	// delivered are the proposals whose answers a call has returned, the oldest first. After a restart of the sidecar nobody knows them
	// any more: their answers are returned once more.
	delivered []string
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

// answered returns a waiter that has its answer.
func answered(r request, id string, a queue.Answer) *waiter {
	w := &waiter{request: r, id: id, cancel: func(error) {}, done: make(chan struct{}), answer: a}
	close(w.done)
	return w
}

func newBroker(s settings, q *queue.Queue, logger zerolog.Logger) *broker {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &broker{
		slug: s.slug, currentDir: s.currentDir, queue: q, log: sidecar.Bounded(logger), audit: sidecar.NewDecisions(logger), waiting: map[request]*waiter{},
		ctx: ctx, stop: func() { cancel(errStopping) },
		fresh: rate.NewLimiter(rate.Every(proposalInterval), proposalBurst),
	}
}

// wait waits for the answer of a proposal that the caller is attached to, and detaches the caller. It returns false if there is none when
// enough fires. keepAlive is called on every tick.
func (d *broker) wait(ctx context.Context, a *waiter, enough <-chan time.Time, tick <-chan struct{}, keepAlive func()) (bool, error) {
	defer d.detach(a)
	for {
		select {
		case <-a.done:
			if errors.Is(a.err, queue.ErrGone) {
				return false, errRemoved
			}
			return true, a.err
		case <-d.ctx.Done():
			return false, errStopping
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-enough:
			return false, nil
		case <-tick:
			keepAlive()
		}
	}
}

// attach queues a request unless it is queued or answered already, or in force. The caller must call wait with the result.
func (d *broker) attach(r request, justification string, inForce bool) (*waiter, error) {
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
	a, err := d.find(r, inForce)
	if a == nil && err == nil {
		a, err = d.submit(r, justification)
	}
	if err != nil {
		return nil, err
	}
	a.callers++
	d.callers++
	return a, nil
}

// find returns the proposal of an equal call, or its answer; nil if a person has to be asked. The newest of several counts.
func (d *broker) find(r request, inForce bool) (*waiter, error) {
	entries, err := d.list()
	if err != nil {
		return nil, err
	}
	switch e, asked := newest(entries, r); {
	case asked && e.Answer == nil:
		d.record("found", e.Proposal.ID, "", r, "the agent asks again")
		return d.followed(r, e.Proposal.ID), nil
	case asked && d.stands(e, inForce):
		d.record("found", e.Proposal.ID, e.Answer.Status, r, "the agent asks again; it has been answered")
		return answered(r, e.Proposal.ID, d.toldAgain(e)), nil
	case inForce:
		return answered(r, "", queue.Answer{Status: queue.Approved, Notes: inForceNotes}), nil
	default:
		return nil, nil
	}
}

func newest(entries []queue.Entry, r request) (queue.Entry, bool) {
	for _, e := range slices.Backward(entries) {
		if (request{e.Proposal.Tool, e.Proposal.Payload}) == r {
			return e, true
		}
	}
	return queue.Entry{}, false
}

func (d *broker) submit(r request, justification string) (*waiter, error) {
	if !d.fresh.Allow() {
		return nil, errTooFast
	}
	p, err := d.queue.Submit(queue.Proposal{Bottle: d.slug, Tool: r.tool, Justification: justification, Payload: r.payload})
	if errors.Is(err, queue.ErrFull) {
		return nil, errFull
	}
	if err != nil {
		return nil, err
	}
	d.record("new", p.ID, "", r, "waiting for a human")
	return d.followed(r, p.ID), nil
}

// followed returns a waiter for a proposal that has no answer yet.
func (d *broker) followed(r request, id string) *waiter {
	ctx, cancel := context.WithCancelCause(d.ctx)
	a := &waiter{request: r, id: id, cancel: cancel, done: make(chan struct{})}
	d.waiting[r] = a
	go d.follow(ctx, a)
	return a
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

// detach removes a caller. The proposal stays.
func (d *broker) detach(a *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.callers--
	if a.callers--; a.callers > 0 {
		return
	}
	a.cancel(errLeft)
	if d.waiting[a.request] == a {
		delete(d.waiting, a.request)
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
