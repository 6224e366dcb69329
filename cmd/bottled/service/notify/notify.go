// Package notify tells people of proposals where they don't look for them: by a webhook, a command, or the desktop.
//
// Every channel looks at what waits, again after each change, and sends what it has not sent yet. So nothing is queued: what is answered
// before it could be sent is not sent at all, and after a restart of the controller what still waits is sent once more.
package notify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	settle      = 500 * time.Millisecond // after a change: a rule may decide, and several proposals come at once
	sendTimeout = 10 * time.Second
	firstRetry  = time.Second
	lastRetry   = time.Minute
	maxAttempts = 10 // of one message; then it is given up

	// A bottle has its messages sent as a burst, then at an interval: an agent can ask and withdraw as often as it likes.
	burst    = 10
	interval = 30 * time.Second
)

// Source is where proposals are looked at: the controller.
type Source interface {
	Proposals() []reconciler.Proposal
	// Changed returns a channel that receives whenever Proposals may have changed, and a function that unsubscribes.
	Changed() (<-chan struct{}, func())
}

// Message is a notification. The summary and the justification are an agent's words, without what looks like a secret.
type Message struct {
	Event         string     `json:"event"` // the reason of the event: ProposalNew, ProposalFailed
	Bottle        string     `json:"bottle"`
	ID            string     `json:"id"`
	Tool          queue.Tool `json:"tool"`
	Summary       string     `json:"summary"`
	Justification string     `json:"justification"`
	// Failure is why an approval was taken back.
	Failure string    `json:"failure,omitempty"`
	Time    time.Time `json:"time"` // when it was asked, or decided
}

// Channel sends messages.
type Channel struct {
	Name string // in the log
	// Send sends a message. It is tried again after an error, unless that is marked errPermanent.
	Send func(ctx context.Context, m Message) error
}

// errPermanent marks errors that another try would not mend.
var errPermanent = errors.New("given up")

// Notifier sends messages on all of its channels.
type Notifier struct {
	Source   Source
	Channels []Channel
	// Detect returns what kind of secret a text holds; "" for none.
	Detect func(text string) string
	Log    zerolog.Logger
}

// Run sends messages until ctx ends. A channel that does not work holds up no other one.
func (n *Notifier) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, c := range n.Channels {
		running.Go(func() {
			s := &sender{Notifier: n, channel: c, done: map[string]bool{}, limits: map[string]*rate.Limiter{}}
			s.run(ctx)
		})
	}
	running.Wait()
}

// sender sends messages on one channel.
type sender struct {
	*Notifier
	channel  Channel
	done     map[string]bool          // by event and ID: sent or given up
	limits   map[string]*rate.Limiter // by bottle
	trying   string                   // the message, by event and ID, that was to be sent last
	attempts int                      // to send it
}

func (s *sender) run(ctx context.Context) {
	changed, stop := s.Source.Changed() // before anything is read, so that no change is missed
	defer stop()
	look := time.NewTimer(settle)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		retry, due := s.send(ctx)
		switch {
		case retry > 0: // whatever changes meanwhile: the channel does not work
			look.Reset(retry)
			continue
		case due > 0:
			look.Reset(due)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
			look.Reset(settle)
		case <-look.C:
			look.Reset(0)
		}
	}
}

// send sends what is due. It returns after how long to try again what failed, or else after how long something more is due; 0 for neither.
func (s *sender) send(ctx context.Context) (retry, due time.Duration) {
	for _, m := range s.due() {
		if wait := s.limited(m.Bottle); wait > 0 {
			if due == 0 || wait < due {
				due = wait // another bottle's may be due now
			}
			continue
		}
		if retry := s.sendOne(ctx, m); retry > 0 || ctx.Err() != nil {
			return retry, 0
		}
	}
	return 0, due
}

// sendOne sends a message, and returns after how long to try again; 0 when it is sent or given up.
func (s *sender) sendOne(ctx context.Context, m Message) (retry time.Duration) {
	if s.trying != m.key() {
		s.trying, s.attempts = m.key(), 0
	}
	limited, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := s.channel.Send(limited, m)
	s.attempts++
	switch {
	case ctx.Err() != nil:
		return 0
	case err == nil:
		s.Log.Debug().Str("channel", s.channel.Name).Str("proposal", m.ID).Msg("notification sent")
	case !errors.Is(err, errPermanent) && s.attempts < maxAttempts:
		s.Log.Warn().Str("channel", s.channel.Name).Str("proposal", m.ID).Err(err).Msg("a notification could not be sent; it is tried again")
		return min(firstRetry<<(s.attempts-1), lastRetry)
	default:
		s.Log.Error().Str("channel", s.channel.Name).Str("proposal", m.ID).Err(err).Msg("a notification was not sent")
	}
	s.done[m.key()] = true
	s.limits[m.Bottle].Allow()
	return 0
}

func (m Message) key() string { return m.Event + " " + m.ID }

// due are the messages that are to be sent and were not yet, the oldest proposal first.
func (s *sender) due() []Message {
	var due []Message
	there := map[string]bool{}
	for _, p := range s.Source.Proposals() {
		m, is := s.message(p)
		if !is {
			continue
		}
		there[m.key()] = true
		if !s.done[m.key()] {
			due = append(due, m)
		}
	}
	for key := range s.done {
		if !there[key] {
			delete(s.done, key)
		}
	}
	for bottle, l := range s.limits {
		if l.Tokens() >= burst { // as if it were new
			delete(s.limits, bottle)
		}
	}
	return due
}

// limited returns how long a bottle has to wait with its next message. The message is counted when it is sent.
func (s *sender) limited(bottle string) time.Duration {
	l := s.limits[bottle]
	if l == nil {
		l = rate.NewLimiter(rate.Every(interval), burst)
		s.limits[bottle] = l
	}
	if tokens := l.Tokens(); tokens < 1 {
		return time.Duration((1-tokens)*float64(interval)) + time.Millisecond
	}
	return 0
}

// message is what people are told of a proposal; false for nothing.
func (s *sender) message(p reconciler.Proposal) (Message, bool) {
	m := Message{Bottle: p.Bottle, ID: p.ID, Tool: p.Tool, Summary: s.clean(p, p.Summary), Justification: s.clean(p, p.Justification), Time: p.Asked}
	switch {
	case p.State == reconciler.ProposalWaiting:
		m.Event = reconciler.EventProposalNew
	case p.Decision != nil && p.Decision.Status == queue.Failed:
		m.Event, m.Failure, m.Time = reconciler.EventProposalFailed, s.clean(p, p.Message), p.Decision.Time
	default:
		return Message{}, false
	}
	return m, true
}

// clean makes a text safe to show elsewhere, and leaves it out where it looks like a secret: it goes to others than the operator.
func (s *sender) clean(p reconciler.Proposal, text string) string {
	if s.Detect(text) != "" {
		return fmt.Sprintf("[looks like a secret: see bottled proposals show %s]", p.ID)
	}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, l := range lines {
		lines[i] = printable.Line(strings.ReplaceAll(l, "\t", "    "))
	}
	return strings.Join(lines, "\n")
}
