package resolve

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
)

// programs answers commands by their first word, and counts the runs.
type programs struct {
	mu      sync.Mutex
	runs    map[string]int
	at      map[string][]time.Duration // of the runs, since start
	start   time.Time
	current int
	most    int // that ran at once
	answer  func(ctx context.Context, command []string) ([]byte, error)
}

func (p *programs) run(ctx context.Context, command []string) ([]byte, error) {
	p.mu.Lock()
	p.runs[command[0]]++
	p.at[command[0]] = append(p.at[command[0]], time.Since(p.start))
	p.current++
	p.most = max(p.most, p.current)
	answer := p.answer
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.current--
		p.mu.Unlock()
	}()
	return answer(ctx, command)
}

func (p *programs) answers(answer func(ctx context.Context, command []string) ([]byte, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = answer
}

func prints(text string) func(context.Context, []string) ([]byte, error) {
	return func(context.Context, []string) ([]byte, error) { return []byte(text), nil }
}

func fails(context.Context, []string) ([]byte, error) { return nil, errors.New("exit code 1") }

func command(refresh string, words ...string) TokenCommand {
	return TokenCommand{Ref: route.SecretRef{Exec: words, Refresh: refresh}, Check: func() error { return nil }}
}

// follow runs commands in a bubble with virtual time.
func follow(t *testing.T, test func(t *testing.T, c *TokenCommands, p *programs), all ...TokenCommand) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &programs{runs: map[string]int{}, at: map[string][]time.Duration{}, start: time.Now(), answer: prints("token\n")}
		c := NewTokenCommands(p.run)
		c.Follow(all)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Run(ctx)
		}()
		synctest.Wait()
		test(t, c, p)
		cancel()
		<-ended
	})
}

// isTold reports whether a change was told since it was asked last.
func isTold(c *TokenCommands) bool {
	synctest.Wait()
	select {
	case <-c.Changes():
		return true
	default:
		return false
	}
}

func wantToken(t *testing.T, c *TokenCommands, ref route.SecretRef, want, wantErr string) {
	t.Helper()
	synctest.Wait()
	got, err := c.token(ref)
	if string(got.Reveal()) != want || (err == nil) != (wantErr == "") || err != nil && !strings.Contains(err.Error(), wantErr) {
		t.Errorf("%v: token %q (%v), want %q (%s)", ref.Exec, got.Reveal(), err, want, wantErr)
	}
}

// TestCommandsAreRefreshed runs equal commands once, each as often as the most impatient route wants it, and tells of a change only.
func TestCommandsAreRefreshed(t *testing.T) {
	a, b := command("", "a"), command("10m", "b", "x")
	follow(t, func(t *testing.T, c *TokenCommands, p *programs) {
		wantToken(t, c, a.Ref, "token", "")
		wantToken(t, c, b.Ref, "token", "")
		if !isTold(c) || isTold(c) {
			t.Error("the first token was not told once")
		}
		<-time.After(time.Hour + time.Second)
		synctest.Wait()
		if want := map[string]int{"a": 2, "b": 7}; !maps.Equal(p.runs, want) {
			t.Errorf("runs %v, want %v", p.runs, want)
		}
		if isTold(c) {
			t.Error("the same token was told again")
		}
		p.answers(prints("another"))
		<-time.After(10 * time.Minute)
		wantToken(t, c, a.Ref, "token", "")
		wantToken(t, c, b.Ref, "another", "")
		if !isTold(c) {
			t.Error("another token was not told")
		}
	}, a, b, command("1h", "a"), command("168h", "b", "x"))
}

// TestLastGoodTokenIsKept keeps a token while its command fails, and tries again with backoff, or at once when it is told to.
func TestLastGoodTokenIsKept(t *testing.T) {
	a := command("1h", "a")
	follow(t, func(t *testing.T, c *TokenCommands, p *programs) {
		isTold(c)
		p.answers(fails)
		<-time.After(time.Hour)
		failedAt := time.Now()
		wantToken(t, c, a.Ref, "token", "")
		if since, err := c.Failing(a.Ref); err == nil || err.Error() != "a: exit code 1" || !since.Equal(failedAt) || !isTold(c) {
			t.Errorf("failing since %s: %v, want since %s", since, err, failedAt)
		}
		<-time.After(4 * time.Hour)
		if since, _ := c.Failing(a.Ref); !since.Equal(failedAt) || isTold(c) {
			t.Errorf("failing since %s, want since %s, told once", since, failedAt)
		}
		var retries []time.Duration
		for i, at := range p.at["a"][2:9] {
			retries = append(retries, (at - p.at["a"][i+1]).Round(time.Second))
		}
		if got, want := fmt.Sprint(retries), "[30s 1m0s 2m0s 4m0s 8m0s 16m0s 32m0s]"; got != want {
			t.Errorf("retries after %s, want %s", got, want)
		}
		p.answers(prints("new"))
		c.Retry()
		wantToken(t, c, a.Ref, "new", "")
		if _, err := c.Failing(a.Ref); err != nil || !isTold(c) {
			t.Errorf("still failing: %v", err)
		}
	}, a)
}

// TestFirstRun has a bottle wait: for the end of the first run, and then for one that succeeds.
func TestFirstRun(t *testing.T) {
	slow := command("", "slow")
	follow(t, func(t *testing.T, c *TokenCommands, p *programs) {
		p.answers(func(ctx context.Context, _ []string) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		c.Follow([]TokenCommand{slow})
		wantToken(t, c, slow.Ref, "", "slow has not printed the token yet")
		if _, err := c.token(slow.Ref); !errors.Is(err, state.ErrPending) {
			t.Errorf("not pending: %v", err)
		}
		<-time.After(commandTimeout)
		wantToken(t, c, slow.Ref, "", "slow: it did not end within 30s, and was killed")
		if _, err := c.token(slow.Ref); errors.Is(err, state.ErrPending) || !isTold(c) {
			t.Errorf("pending: %v", err)
		}
		p.answers(prints("token"))
		<-time.After(commandRetry)
		wantToken(t, c, slow.Ref, "token", "")
	})
}

// TestUselessOutput is a failure, and never quoted.
func TestUselessOutput(t *testing.T) {
	for output, want := range map[string]string{
		"": "what a printed is empty", "\n": "what a printed is empty", "abcdefgh\nabcdefgh": "what a printed has several lines", "T=abcdefgh": "what a printed contains NAME=VALUE",
		"abcdefgh\x00": "what a printed has control characters", "\tabcdefgh": "what a printed has spaces around",
	} {
		a := command("", "/opt/a", "abcdefgh")
		follow(t, func(t *testing.T, c *TokenCommands, p *programs) {
			p.answers(prints(output))
			c.Follow([]TokenCommand{a})
			wantToken(t, c, a.Ref, "", want)
			if _, err := c.Failing(a.Ref); err == nil || strings.Contains(err.Error(), "abcdefgh") {
				t.Errorf("%q: %v", output, err)
			}
		})
	}
}

// TestFollow forgets what is not followed any more, and runs nothing that fails its check.
func TestFollow(t *testing.T) {
	a, b := command("", "a"), command("", "b")
	b.Check = func() error { return errors.New("an agent can write it") }
	follow(t, func(t *testing.T, c *TokenCommands, p *programs) {
		wantToken(t, c, b.Ref, "", "an agent can write it")
		c.Follow([]TokenCommand{b})
		wantToken(t, c, a.Ref, "", "a has not printed the token yet")
		<-time.After(3 * time.Hour)
		synctest.Wait()
		if want := map[string]int{"a": 1}; !maps.Equal(p.runs, want) {
			t.Errorf("runs %v, want %v", p.runs, want)
		}
		c.Follow([]TokenCommand{command("168h", "a")})
		<-time.After(time.Minute)
		c.Follow([]TokenCommand{command("2m", "a")})
		<-time.After(2*time.Minute + time.Second)
		if synctest.Wait(); p.runs["a"] != 3 {
			t.Errorf("%d runs of a, want 3: the interval was shortened", p.runs["a"])
		}
	}, a, b)
}

// TestCommandsAtOnce bounds how many run, and a hanging one delays no other that has a slot.
func TestCommandsAtOnce(t *testing.T) {
	var all []TokenCommand
	for i := range 20 {
		all = append(all, command("", fmt.Sprint("c", i)))
	}
	follow(t, func(t *testing.T, c *TokenCommands, p *programs) {
		p.answers(func(ctx context.Context, command []string) ([]byte, error) {
			if command[0] == "c0" {
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}
			<-time.After(time.Second)
			return []byte("token"), nil
		})
		c.Follow(all)
		<-time.After(10 * time.Second)
		for _, one := range all[1:] {
			wantToken(t, c, one.Ref, "token", "")
		}
		if p.most != maxCommands {
			t.Errorf("%d ran at once, want %d", p.most, maxCommands)
		}
	})
}

// TestEndIsNoFailure ends the commands with the process, and records no failure of theirs.
func TestEndIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewTokenCommands(func(ctx context.Context, _ []string) ([]byte, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		})
		a := command("", "a")
		c.Follow([]TokenCommand{a})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.RunOnce(ctx)
		if _, err := c.Failing(a.Ref); err != nil || isTold(c) {
			t.Errorf("failing: %v", err)
		}
	})
}
