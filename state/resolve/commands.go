package resolve

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
)

// How commands are run.
const (
	maxCommands    = 4                // at once
	commandTimeout = 30 * time.Second // of one run
	// A command that failed is tried again after commandRetry, twice that, and so on, but not later than it is refreshed.
	commandRetry = 30 * time.Second
)

// TokenCommands runs the commands that print tokens, and remembers what each printed last. Equal commands of several routes are
// one. A nil *TokenCommands runs none. It is safe for concurrent use.
type TokenCommands struct {
	run     func(ctx context.Context, command []string) ([]byte, error)
	slots   chan struct{} // semaphore
	changes chan struct{} // holds one
	wake    chan struct{} // holds one: the next due time may be another

	mu       sync.Mutex // never held while a command runs
	commands map[string]*tokenCommand
}

// NewTokenCommands returns one that runs commands with run: RunTokenCommand.
func NewTokenCommands(run func(ctx context.Context, command []string) ([]byte, error)) *TokenCommands {
	return &TokenCommands{
		run: run, slots: make(chan struct{}, maxCommands), changes: make(chan struct{}, 1), wake: make(chan struct{}, 1),
		commands: map[string]*tokenCommand{},
	}
}

// TokenCommand is a command that a manifest names.
type TokenCommand struct {
	Ref route.SecretRef
	// Check returns why the command must not be run now.
	Check func() error
}

// tokenCommand is the state of a command. TokenCommands.mu guards it.
type tokenCommand struct {
	TokenCommand
	refresh  time.Duration
	due      time.Time // of the next run
	running  bool
	token    state.Content // of the last run that succeeded
	valid    bool          // there was such a run
	failure  error         // of the last run; nil when it succeeded
	failures int           // in a row
	since    time.Time     // of the first of them
}

// Follow replaces the commands that are run. Those that are followed already keep what they printed; the others are due at once, and
// forgotten if they are not among them.
func (t *TokenCommands) Follow(all []TokenCommand) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	followed := map[string]*tokenCommand{}
	for _, c := range all {
		slot, refresh := state.TokenSlot(c.Ref), c.Ref.RefreshInterval()
		if same := followed[slot]; same != nil {
			same.refresh = min(same.refresh, refresh)
			continue
		}
		known := t.commands[slot]
		if known == nil {
			known = &tokenCommand{due: time.Now()}
		}
		known.TokenCommand, known.refresh = c, refresh
		followed[slot] = known
	}
	now := time.Now()
	for _, c := range followed {
		if latest := now.Add(c.refresh); c.due.After(latest) {
			c.due = latest // the interval was shortened
		}
	}
	t.commands = followed
	notify(t.wake)
}

// Changes receives when a command printed something else than before, failed, or succeeded after a failure.
func (t *TokenCommands) Changes() <-chan struct{} {
	if t == nil {
		return nil
	}
	return t.changes
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run runs each command as often as it is to be refreshed, until ctx ends. It returns when no command runs any more.
func (t *TokenCommands) Run(ctx context.Context) {
	if t == nil {
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	for ctx.Err() == nil {
		timer := time.NewTimer(t.runDue(ctx, &running))
		select {
		case <-ctx.Done():
		case <-t.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// RunOnce runs the commands that are due, and returns when they have ended.
func (t *TokenCommands) RunOnce(ctx context.Context) {
	if t == nil {
		return
	}
	var running sync.WaitGroup
	t.runDue(ctx, &running)
	running.Wait()
}

// Retry has the commands run now that failed.
func (t *TokenCommands) Retry() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.commands {
		if c.failure != nil {
			c.due = time.Now()
		}
	}
	notify(t.wake)
}

// runDue starts the commands that are due, and returns how long it is until another one is.
func (t *TokenCommands) runDue(ctx context.Context, running *sync.WaitGroup) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := time.Hour
	for _, c := range t.commands {
		switch wait := time.Until(c.due); {
		case c.running:
		case wait > 0:
			next = min(next, wait)
		default:
			c.running = true
			what := c.TokenCommand
			running.Go(func() { t.runOne(ctx, c, what) })
		}
	}
	return next
}

// runOne runs a command and records how that ended.
func (t *TokenCommands) runOne(ctx context.Context, c *tokenCommand, what TokenCommand) {
	token, err := t.execute(ctx, what)
	t.mu.Lock()
	defer t.mu.Unlock()
	c.running = false
	if ctx.Err() != nil {
		return // bottled ends: that is no failure of the command's
	}
	changed := (err == nil) != (c.failure == nil) || err != nil && err.Error() != c.failure.Error()
	if err != nil {
		if c.failures == 0 {
			c.since = time.Now()
		}
		retry := min(commandRetry<<min(c.failures, 16), c.refresh)
		c.failure, c.due = err, time.Now().Add(retry)
		c.failures++
	} else {
		changed = changed || !c.valid || string(token.Reveal()) != string(c.token.Reveal())
		c.token, c.valid, c.failure, c.failures, c.due = token, true, nil, 0, time.Now().Add(c.refresh)
	}
	if changed {
		notify(t.changes)
	}
	notify(t.wake)
}

func (t *TokenCommands) execute(ctx context.Context, what TokenCommand) (state.Content, error) {
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return state.Content{}, context.Cause(ctx)
	}
	if err := what.Check(); err != nil {
		return state.Content{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, commandTimeout, errCommandTimeout)
	defer cancel()
	output, err := t.run(ctx, what.Ref.Exec)
	name := path.Base(what.Ref.Exec[0]) // an argument may say where a secret is
	if err != nil {
		return state.Content{}, fmt.Errorf("%s: %w", name, err)
	}
	token := strings.TrimRight(string(output), "\r\n")
	if err := checkToken(token, what.Ref); err != nil {
		return state.Content{}, fmt.Errorf("what %s printed %w", name, err)
	}
	return state.NewContent([]byte(token)), nil
}

// errNotRun is about commands that are not run in this process.
var errNotRun = errors.New("it is not run")

// pending is an error that says nothing more than the one it wraps.
type pending struct{ error }

func (p pending) Is(target error) bool { return target == state.ErrPending }

// token returns what a command printed last. Without anything, the error wraps state.ErrPending until the first run has ended, and
// then says how that failed.
func (t *TokenCommands) token(ref route.SecretRef) (state.Content, error) {
	if t == nil {
		return state.Content{}, errNotRun
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.commands[state.TokenSlot(ref)]
	switch {
	case c == nil || !c.valid && c.failure == nil:
		return state.Content{}, pending{fmt.Errorf("%s has not printed the token yet", path.Base(ref.Exec[0]))}
	case !c.valid:
		return state.Content{}, c.failure
	}
	return c.token, nil
}

// Failing returns since when a command fails, and how; the zero time when it does not.
func (t *TokenCommands) Failing(ref route.SecretRef) (since time.Time, failure error) {
	if t == nil || len(ref.Exec) == 0 {
		return time.Time{}, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.commands[state.TokenSlot(ref)]; c != nil && c.failure != nil {
		return c.since, c.failure
	}
	return time.Time{}, nil
}
