package top

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/cut"
	"github.com/bot-bottle/bottled/cmd/bottled/command/describe"
	"github.com/bot-bottle/bottled/cmd/bottled/command/restart"
	"github.com/bot-bottle/bottled/cmd/bottled/command/resume"
	"github.com/bot-bottle/bottled/cmd/bottled/command/suspend"
	"github.com/bot-bottle/bottled/cmd/bottled/screen"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/reconciler"
)

// lastLines is how many earlier lines of each component's log are shown.
const lastLines = 200

// persistPause is the time between two attempts to follow something.
const persistPause = 2 * time.Second

// backend is the service as the screen uses it.
type backend struct {
	*service.Service
	arguments []string // of the commands that it runs
}

func newBackend(s *service.Service, arguments []string) *backend {
	return &backend{reporting(s, func(error) {}), arguments}
}

// reporting is the service with a log that goes to report from warnings on: a log line would be written across the screen.
func reporting(s *service.Service, report func(error)) *service.Service {
	its := *s
	its.Log = zerolog.New(reporter(report)).Level(zerolog.WarnLevel)
	return &its
}

// reporter makes errors of log lines.
type reporter func(error)

func (r reporter) Write(logged []byte) (int, error) {
	var l struct{ Message, Error string }
	if err := json.Unmarshal(logged, &l); err != nil {
		return 0, err
	}
	r(errors.New(strings.TrimSuffix(l.Message+": "+l.Error, ": ")))
	return len(logged), nil
}

func (b *backend) FollowStatus(ctx context.Context, show func(reconciler.Status) error, report func(error)) error {
	source, err := b.StatusSource()
	if err != nil {
		return err
	}
	return source.Follow(ctx, show, report)
}

func (b *backend) FollowProposals(ctx context.Context, show func(service.Proposals) error, report func(error)) error {
	return persist(ctx, report, func() error { return b.Service.FollowProposals(ctx, show, report) })
}

func (b *backend) FollowActivity(ctx context.Context, show func(reconciler.Activity) error, report func(error)) error {
	return persist(ctx, report, func() error { return b.Service.FollowActivity(ctx, show, report) })
}

// persist follows something until ctx ends, also where the service gives up: after a controller that ended before it had sent anything.
func persist(ctx context.Context, report func(error), follow func() error) error {
	for {
		if err := follow(); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(persistPause):
		}
	}
}

func (b *backend) FollowEvents(ctx context.Context, bottle string, show func(reconciler.Event) error, report func(error)) error {
	return reporting(b.Service, report).Events(ctx, service.EventsOptions{Bottle: bottle, Follow: true}, show)
}

func (b *backend) FollowLogs(ctx context.Context, bottle string, show func(service.LogLine) error, report func(error)) error {
	return reporting(b.Service, report).Logs(ctx, service.LogsOptions{Of: []service.Target{{Bottle: bottle}}, Follow: true, Tail: lastLines}, show)
}

func (b *backend) Describe(ctx context.Context, bottle string) (screen.Description, error) {
	d, err := b.Service.Describe(ctx, bottle)
	if err != nil {
		return screen.Description{}, err
	}
	return screen.Description{Spec: d.Spec, Denied: d.Denied, Lines: describe.Declared(d), Warnings: d.Warnings}, nil
}

func (b *backend) Decide(ctx context.Context, id string, decision reconciler.DecisionRequest) (string, error) {
	if err := b.Service.Decide(ctx, id, decision); err != nil {
		return "", err
	}
	return b.await(ctx, id)
}

func (b *backend) Allow(ctx context.Context, bottle string, request reconciler.AllowRequest) (string, error) {
	id, err := b.Service.Allow(ctx, bottle, request)
	if err != nil {
		return "", err
	}
	return b.await(ctx, id)
}

// await waits for what becomes of a decision, and says it as approve and reject do. The screen shows the steps anyway.
func (b *backend) await(ctx context.Context, id string) (string, error) {
	ended, err := b.AwaitAnswer(ctx, id, func(reconciler.Proposal) {})
	if err != nil {
		return "", err
	}
	return command.AnswerText(ended), nil
}

// outcomes say how each order ended, as its command does.
var outcomes = map[reconciler.Order]func(service.Target, reconciler.BottleStatus) (string, error){
	reconciler.OrderRestart: restart.Done, reconciler.OrderSuspend: suspend.Done, reconciler.OrderResume: resume.Done, reconciler.OrderCut: cut.Done,
}

func (b *backend) Order(ctx context.Context, to service.Target, order reconciler.Order) (string, error) {
	status, err := b.Service.Order(ctx, to, order)
	if err != nil {
		return "", err
	}
	return outcomes[order](to, status)
}

// Command is this very executable, with the settings that it was given itself.
func (b *backend) Command(arguments ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	return exec.Command(self, append(append([]string{}, b.arguments...), arguments...)...) //nolint:gosec // bottled itself
}

// settings are the flags that were set for all commands. Those that come from the environment or the configuration file do no harm here.
func settings(flags *pflag.FlagSet) []string {
	var all []string
	flags.Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, is := f.Value.(pflag.SliceValue); is {
			values = list.GetSlice()
		}
		for _, v := range values {
			all = append(all, "--"+f.Name+"="+v)
		}
	})
	return all
}
