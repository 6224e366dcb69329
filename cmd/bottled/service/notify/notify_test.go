package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// recorder is a channel that keeps what it is given. fail says how many sends fail first, and how.
type recorder struct {
	mu    sync.Mutex
	sent  []Message
	at    []time.Duration // since the start
	tries int
	fail  int
	err   error
	began time.Time
}

func (r *recorder) channel(name string) Channel {
	r.began = time.Now()
	return Channel{Name: name, Send: func(_ context.Context, m Message) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.tries++; r.tries <= r.fail {
			return r.err
		}
		r.sent, r.at = append(r.sent, m), append(r.at, time.Since(r.began))
		return nil
	}}
}

// all are what was sent, after how many tries.
func (r *recorder) all() (sent []Message, at []time.Duration, tries int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent), slices.Clone(r.at), r.tries
}

func (r *recorder) ids() string {
	var ids []string
	sent, _, _ := r.all()
	for _, m := range sent {
		ids = append(ids, strings.TrimPrefix(m.Event, "Proposal")+" "+m.ID)
	}
	return strings.Join(ids, ", ")
}

// proposal is one in a state; the bottle is what its ID begins with.
func proposal(id string, s reconciler.ProposalState, status queue.Status) reconciler.Review {
	p := reconciler.Proposal{ID: id, Bottle: id[:1], Tool: queue.PipelockBlock, Summary: "allow a.example", Justification: "why", State: s, Asked: time.Now()}
	if status != "" {
		p.Decision = &reconciler.Decision{Status: status, Time: time.Now()}
	}
	return reconciler.Review{Proposal: p}
}

func waiting(ids ...string) []reconciler.Review {
	var all []reconciler.Review
	for _, id := range ids {
		all = append(all, proposal(id, reconciler.ProposalWaiting, ""))
	}
	return all
}

// withNotifier runs a test with a notifier of channels, in time that passes at once.
func withNotifier(t *testing.T, channels []*recorder, test func(*apitest.Source)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		source := &apitest.Source{}
		n := &Notifier{Source: source, Detect: scalar.SecretKind, Log: zerolog.Nop()}
		for i, r := range channels {
			n.Channels = append(n.Channels, r.channel(fmt.Sprint(i)))
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { n.Run(ctx); close(ended) }()
		synctest.Wait()
		test(source)
		cancel()
		<-ended
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestNew tells of what waits, and of approvals that failed, each once; and not of what is decided before anybody could look.
func TestNew(t *testing.T) {
	r := &recorder{}
	withNotifier(t, []*recorder{r}, func(source *apitest.Source) {
		source.SetProposals(waiting("a1", "b1")...)
		pass(time.Minute)
		source.SetProposals(append(waiting("a1", "c1"), proposal("b1", reconciler.ProposalApplying, queue.Approved))...)
		pass(settle / 2)
		source.SetProposals(proposal("a1", reconciler.ProposalAnswered, queue.Failed), proposal("b1", reconciler.ProposalAnswered, queue.Approved), proposal("c1", reconciler.ProposalApplying, queue.Approved))
		pass(time.Minute)
		source.SetProposals(append(waiting("d1"), proposal("a1", reconciler.ProposalAnswered, queue.Failed))...)
		pass(time.Minute)
		if got, want := r.ids(), "New a1, New b1, Failed a1, New d1"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestRetries: a channel that fails is tried again with growing pauses, and holds up no other one.
func TestRetries(t *testing.T) {
	broken, works := &recorder{fail: 8, err: errors.New("503")}, &recorder{}
	withNotifier(t, []*recorder{broken, works}, func(source *apitest.Source) {
		source.SetProposals(waiting("a1", "b1")...)
		pass(10 * time.Second)
		if _, _, tries := broken.all(); works.ids() != "New a1, New b1" || broken.ids() != "" || tries != 4 {
			t.Errorf("%s; %d tries", works.ids(), tries)
		}
		pass(time.Hour)
		want := settle + (1+2+4+8+16+32+60+60)*time.Second
		_, at, _ := broken.all()
		if got := fmt.Sprint(broken.ids(), at); got != fmt.Sprint("New a1, New b1", []time.Duration{want, want}) {
			t.Errorf("%s, want %s", got, want)
		}
	})
	for err, tries := range map[error]int{errors.New("503"): maxAttempts + 1, fmt.Errorf("%w: 400", errPermanent): 2} { // the last one is b1's
		r := &recorder{fail: tries - 1, err: err}
		withNotifier(t, []*recorder{r}, func(source *apitest.Source) {
			source.SetProposals(waiting("a1", "b1")...)
			pass(time.Hour)
			if _, _, got := r.all(); r.ids() != "New b1" || got != tries {
				t.Errorf("%v: %s after %d tries, want %d", err, r.ids(), got, tries)
			}
		})
	}
	answered := &recorder{fail: 3, err: errors.New("503")}
	withNotifier(t, []*recorder{answered}, func(source *apitest.Source) {
		source.SetProposals(waiting("a1")...)
		pass(2 * time.Second)
		source.SetProposals(waiting("b1")...)
		pass(time.Hour)
		if answered.ids() != "New b1" {
			t.Errorf("answered meanwhile: %s", answered.ids())
		}
	})
}

// TestFlood: a bottle that asks and withdraws all the time is told of at an interval, and takes nothing from others.
func TestFlood(t *testing.T) {
	r := &recorder{}
	withNotifier(t, []*recorder{r}, func(source *apitest.Source) {
		n := 0
		for range 300 {
			var ids []string
			for range 10 {
				n++
				ids = append(ids, fmt.Sprintf("a%d", n))
			}
			source.SetProposals(waiting(ids...)...)
			pass(time.Second)
		}
		if sent, _, _ := r.all(); len(sent) < burst+8 || len(sent) > burst+11 { // 300 seconds
			t.Errorf("%d messages", len(sent))
		}
		source.SetProposals(waiting(fmt.Sprintf("a%d", n+1), fmt.Sprintf("a%d", n+2), "b1")...)
		pass(time.Second)
		if got := r.ids(); !strings.HasSuffix(got, "New b1") {
			t.Errorf("b was not told of: %s", got)
		}
		pass(2 * interval)
		if got, want := r.ids(), fmt.Sprintf("New a%d", n+2); !strings.HasSuffix(got, want) {
			t.Errorf("what still waits is not told of: %s", got)
		}
	})
}

// TestTexts: agents' words are safe to show, and secrets are left out.
func TestTexts(t *testing.T) {
	const token = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
	r := &recorder{}
	withNotifier(t, []*recorder{r}, func(source *apitest.Source) {
		all := waiting("a1", "b1")
		all[0].Summary, all[0].Justification = "allow "+token+".example", "the token\n is "+token
		all[1].Summary, all[1].Justification = "allow \x1b[2J", "a\nb\u202e\t."
		source.SetProposals(all...)
		pass(time.Second)
		source.SetProposals(proposal("c1", reconciler.ProposalAnswered, queue.Failed), all[0], all[1])
		pass(time.Second)
	})
	const hidden = "[looks like a secret: see bottled proposals show a1]"
	if got := r.sent[0]; got.Summary != hidden || got.Justification != hidden {
		t.Errorf("%+v", got)
	}
	if got := r.sent[1]; got.Summary != `allow \x1b[2J` || got.Justification != "a\nb\\u202e    ." {
		t.Errorf("%+v", got)
	}
}
