package top

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/cmd/bottled/terminal"
	"github.com/bot-bottle/bottled/reconciler"
)

// TestTop: there is a screen on a terminal only, and a signal for a command on it does not end it.
func TestTop(t *testing.T) {
	for _, c := range []struct {
		args     string
		terminal bool
		shown    int
		says     string
	}{
		{"", true, 1, ""},
		{"", false, 0, "bottled status --watch"},
		{"dev", true, 0, `top takes no argument, and got "dev"`},
	} {
		shown := 0
		var out bytes.Buffer
		f := &command.Factory{Streams: command.Streams{Out: terminal.OnWriter(&out, true, false)}, Service: &service.Service{}}
		err := commandtest.Execute(t, New(f, func(o *Options) error {
			o.OnTerminal = func() bool { return c.terminal }
			o.Show = func(ctx context.Context, _ []string) error {
				shown++
				return ctx.Err()
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			return run(ended, o)
		}), c.args)
		if shown != c.shown || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: shown %d times, %v", c, shown, err)
		}
		if err != nil && c.args == "" && exit.Code(err, false) != exit.BadInput {
			t.Errorf("the exit code is %d", exit.Code(err, false))
		}
	}
}

// TestSettings: what the screen runs has the settings of the screen.
func TestSettings(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.String("owner", "default", "")
	flags.String("prefix", "p", "")
	flags.StringSlice("allow-token-exec", nil, "")
	if err := flags.Parse([]string{"--owner=alice", "--allow-token-exec", "pass show *,gh auth token"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"--allow-token-exec=pass show *", "--allow-token-exec=gh auth token", "--owner=alice"}
	got := newBackend(&service.Service{}, settings(flags)).Command("run", "dev").Args[1:]
	if !slices.Equal(got, append(want, "run", "dev")) {
		t.Errorf("%q", got)
	}
}

// TestReporting: what the service would log is reported, and written nowhere.
func TestReporting(t *testing.T) {
	var logged bytes.Buffer
	var reported []string
	s := reporting(&service.Service{Log: zerolog.New(&logged)}, func(err error) { reported = append(reported, err.Error()) })
	s.Log.Info().Msg("begun")
	s.Log.Warn().Err(errors.New("the engine is gone")).Msg("logs")
	s.Log.Error().Msg("no reason")
	if want := []string{"logs: the engine is gone", "no reason"}; !slices.Equal(reported, want) || logged.Len() > 0 {
		t.Errorf("%q %q", reported, logged.String())
	}
}

// TestOutcomes: each order that the screen gives says how it ended.
func TestOutcomes(t *testing.T) {
	for _, o := range []reconciler.Order{reconciler.OrderRestart, reconciler.OrderSuspend, reconciler.OrderResume, reconciler.OrderCut} {
		_, err := outcomes[o](service.Target{Bottle: "dev"}, reconciler.BottleStatus{Slug: "dev", Reason: reconciler.ReasonInvalid})
		if o != reconciler.OrderSuspend && err == nil {
			t.Errorf("%s of an invalid bottle succeeds", o)
		}
	}
}

// TestPersist: what can't be followed for a while is reported, and followed again.
func TestPersist(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var reported []string
		attempts := 0
		err := persist(ctx, func(err error) { reported = append(reported, err.Error()) }, func() error {
			if attempts++; attempts == 3 {
				cancel()
				return ctx.Err()
			}
			return errors.New("the controller has ended")
		})
		if err != nil || attempts != 3 || len(reported) != 2 {
			t.Errorf("%v after %d attempts, reported %q", err, attempts, reported)
		}
	})
}
