package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/resolve"
)

// engineWait is how long Validate waits for an engine, which it can do without.
const engineWait = 3 * time.Second

// Validate reads manifests and what they refer to, as if no agent could write anything. What is wrong there is a problem; what this
// host doesn't have is a warning, since manifests are validated elsewhere, too. If an engine answers, it is asked for its runtimes.
func (s *Service) Validate(ctx context.Context, paths []string) (source.Snapshot, error) {
	snapshot, err := s.load(source.Known{}, paths)
	if err != nil {
		return snapshot, err
	}
	settings, err := s.Settings.StateSettings("")
	if err != nil { // in CI, a user may have no home: nothing of bottled's own is there that could be mounted
		s.Log.Debug().Err(err).Msg("mounts are not compared with bottled's own directories")
		settings = state.Settings{}
		if settings.TokenExec, err = s.Settings.tokenExec(); err != nil {
			return snapshot, err
		}
	}
	reader := resolve.Reader{Settings: settings, Getenv: os.LookupEnv, Builds: new(buildcontext.Reader), Writable: snapshot.Writable}
	for _, b := range snapshot.Bottles {
		in, failed := reader.Examine(b)
		snapshot.Warnings = append(snapshot.Warnings, unwritableMounts(b, in)...)
		snapshot.Warnings = append(snapshot.Warnings, endedHosts(b, time.Now())...)
		for _, f := range failed {
			p := parse.Problem{File: f.File, Line: f.Line, Column: 1, Field: f.Field, Reason: f.Err.Error(), Slug: b.Metadata.Name}
			if errors.Is(f, resolve.ErrUnavailable) {
				snapshot.Warnings = append(snapshot.Warnings, p)
			} else {
				snapshot.Problems = append(snapshot.Problems, p)
			}
		}
	}
	snapshot.Warnings = append(snapshot.Warnings, s.unknownRuntimes(ctx, settings, snapshot.Bottles)...)
	return snapshot, nil
}

// endedHosts warns of entries of the allowlist whose time is over.
func endedHosts(b v1alpha1.Bottle, now time.Time) []parse.Problem {
	var warnings []parse.Problem
	for i, a := range b.Spec.Egress.Allowlist {
		if a.In(now) {
			continue
		}
		field := parse.ElementOf(v1alpha1.AllowlistField, i)
		warnings = append(warnings, parse.Problem{
			File: b.Source.Path, Line: b.Source.LineOf(field), Column: 1, Field: field, Slug: b.Metadata.Name,
			Reason: fmt.Sprintf("the time of %s has ended", scalar.Quote(a.Host)), Fix: "remove it",
		})
	}
	return warnings
}

// unwritableMounts warns of mounts that the agent's user can't write to, where that is known without its image.
func unwritableMounts(b v1alpha1.Bottle, in resolve.Inputs) []parse.Problem {
	agent := b.Spec.Agent
	if agent == nil {
		return nil
	}
	user := agent.User
	if user == v1alpha1.UserAuto {
		user = in.User
	}
	if user == "" {
		return nil
	}
	var warnings []parse.Problem
	for i, m := range agent.Mounts {
		source, resolved := in.Mounts[m.Source]
		if m.ReadOnly || !resolved {
			continue
		}
		if warning := source.Owner.Warn(user, source.Path, m.Target); warning != "" {
			field := parse.ElementOf(v1alpha1.MountsField, i)
			warnings = append(warnings, parse.Problem{
				File: b.Source.Path, Line: b.Source.LineOf(field), Column: 1, Field: field, Slug: b.Metadata.Name, Reason: warning,
			})
		}
	}
	return warnings
}

// unknownRuntimes warns of runtimes that this host's engine does not have. Without an engine there is nothing to say.
func (s *Service) unknownRuntimes(ctx context.Context, settings state.Settings, bottles []v1alpha1.Bottle) []parse.Problem {
	bottles = slices.DeleteFunc(slices.Clone(bottles), func(b v1alpha1.Bottle) bool {
		return b.Spec.Agent == nil || b.Spec.Agent.Runtime == ""
	})
	if len(bottles) == 0 {
		return nil
	}
	known := s.runtimes(ctx, settings)
	if len(known) == 0 {
		return nil
	}
	var warnings []parse.Problem
	for _, b := range bottles {
		runtime := b.Spec.Agent.Runtime
		if slices.Contains(known, runtime) {
			continue
		}
		const field = v1alpha1.AgentField + ".runtime"
		warnings = append(warnings, parse.Problem{
			File: b.Source.Path, Line: b.Source.LineOf(field), Column: 1, Field: field, Slug: b.Metadata.Name,
			Reason: fmt.Sprintf("this host's engine has no runtime %s, only %s", scalar.Quote(runtime), strings.Join(shortNames(known), ", ")),
			Fix:    runtimeFix(runtime, known),
		})
	}
	return warnings
}

// runtimeNames are the names of projects whose runtimes have other names.
var runtimeNames = map[string]string{"gvisor": "runsc", "kata": "kata-runtime", "kata-containers": "kata-runtime", "sysbox": "sysbox-runc", "gpu": "nvidia"}

func runtimeFix(runtime string, known []string) string {
	meant := scalar.Closest(runtime, known)
	if name := runtimeNames[strings.ToLower(runtime)]; name != "" {
		meant = name
	}
	const add = "add it to the engine (\"runtimes\" in daemon.json), or leave spec.agent.runtime out"
	switch {
	case meant == "":
		return add
	case slices.Contains(known, meant):
		return "did you mean " + meant + "?"
	}
	return "did you mean " + meant + "? " + add
}

// shortNames leaves out containerd's own names for runtimes.
func shortNames(runtimes []string) []string {
	return slices.DeleteFunc(slices.Clone(runtimes), func(name string) bool { return strings.HasPrefix(name, "io.containerd.") })
}

// runtimes returns the runtimes of this host's engine; none when it does not answer.
func (s *Service) runtimes(ctx context.Context, settings state.Settings) []string {
	ctx, cancel := context.WithTimeout(ctx, engineWait)
	defer cancel()
	e, err := s.connect(ctx, settings)
	if err != nil {
		s.Log.Debug().Err(err).Msg("no engine answers, so runtimes are not checked")
		return nil
	}
	info, err := e.Info(ctx)
	if err = errors.Join(err, e.Close()); err != nil {
		s.Log.Debug().Err(err).Msg("the engine does not describe itself, so runtimes are not checked")
		return nil
	}
	return info.Runtimes
}
