package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/buildcontext"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/observe"
)

// component plans one component: its container as declared, running, ready and serving its files.
func (p *planner) component(m state.Component, changed map[string]bool) {
	have := p.claim(m)
	if m.Name == state.Agent {
		p.warnMounts(m, have)
	}
	if m.Name == state.Agent {
		if status, finished := p.finished(m, have); finished {
			p.plan.Components = append(p.plan.Components, status)
			return
		}
	}
	switch {
	case have == nil && m.Blocked != "":
		p.plan.Components = append(p.plan.Components, reconciler.ComponentStatus{Component: m.Name, Name: m.Container.Name, State: "missing", Image: m.Container.Image, Cause: m.Blocked})
		return
	case have == nil:
		p.plan.Components = append(p.plan.Components, reconciler.ComponentStatus{Component: m.Name, Name: m.Container.Name, State: "missing", Image: m.Container.Image, Cause: "it is missing"})
		p.create(m, "it is missing", nil)
		return
	}
	drift := observe.Diff(m.Container, *have, p.networkIDs, p.images[m.Container.Image])
	cause, changes := p.recreateCause(m, *have, drift, changed)
	if m.Blocked != "" {
		p.confine(m, *have, drift)
		p.plan.Components = append(p.plan.Components, componentStatus(*have, false, m.Blocked))
		return
	}
	if cause != "" {
		p.interrupt(*have)
		p.add(removeStep(*have, cause))
		p.create(m, cause, changes)
	} else {
		cause = p.repair(m, *have, drift, changed)
	}
	if cause == "" && p.isRunOnce(m) && have.Health == engine.HealthUnhealthy {
		cause = "it is unhealthy, and restart: never"
	}
	p.plan.Components = append(p.plan.Components, componentStatus(*have, isReady(m, *have), cause))
}

// claim returns the component's container and plans the removal of further ones.
func (p *planner) claim(m state.Component) *observe.ObservedContainer {
	var claims []observe.ObservedContainer
	for _, c := range p.have.containers {
		if c.Component() == m.Name {
			claims = append(claims, c)
		}
	}
	slices.SortStableFunc(claims, func(a, b observe.ObservedContainer) int {
		return rank(a, m) - rank(b, m)
	})
	if len(claims) == 0 {
		return nil
	}
	for _, c := range claims[1:] {
		p.add(removeStep(c, "it is a second "+string(m.Name)))
	}
	return &claims[0]
}

func rank(c observe.ObservedContainer, m state.Component) int {
	if c.Name == m.Container.Name {
		return 0
	}
	return 1
}

// recreateCause returns why the component needs a new container; "" when it does not.
func (p *planner) recreateCause(m state.Component, have observe.ObservedContainer, drift observe.Drift, changed map[string]bool) (string, []observe.Change) {
	for _, n := range m.Container.Networks {
		if p.remade[n.Network] {
			return "its network " + n.Network + " is created anew", nil
		}
	}
	for _, path := range m.DirPaths {
		mounted := slices.ContainsFunc(have.Container.Mounts, func(m state.Mount) bool { return m.Source == path })
		if _, ok := p.dirs[path]; !ok && mounted {
			// The container still mounts the deleted directory; one made anew under this path would not reach it.
			return "its directory " + path + " was deleted", nil
		}
	}
	if len(drift.Recreate) > 0 {
		digests := func(c observe.Change) bool { return c.Field == fixedConfig || c.Field == heldMounts } // meaningless to people
		return "it is not as declared: " + fields(drift.Recreate), slices.DeleteFunc(slices.Clone(drift.Recreate), digests)
	}
	switch {
	case have.State == engine.StateDead:
		return "the engine failed to remove it", nil
	case have.State == engine.StateRemoving:
		return "it is being removed", nil
	case have.State == engine.StateRunning && have.Health == engine.HealthUnhealthy && !p.isRunOnce(m):
		return "it is unhealthy", nil
	case have.Unresponsive:
		return "it did not acknowledge a reload", nil
	}
	return p.unrepairable(m, have, drift, changed)
}

const (
	fixedConfig = "labels." + state.LabelFixed
	heldMounts  = "labels." + state.LabelMounts
)

func fields(changes []observe.Change) string {
	names := make([]string, len(changes))
	for i, c := range changes {
		names[i] = c.Field
		switch c.Field {
		case fixedConfig:
			names[i] = "configuration that it reads only at its start"
		case heldMounts:
			names[i] = "another directory is at the source of a mount"
		}
	}
	return strings.Join(names, ", ")
}

func (p *planner) create(m state.Component, cause string, changes []observe.Change) {
	name := m.Container.Name
	if image := m.Container.Image; p.images[image] == "" && !p.fetched[image] {
		p.fetched[image] = true
		step := Step{Action: EnsureImage, Component: m.Name, Object: image, Cause: "the engine does not have it", Declared: m}
		if m.Build != nil {
			step.Action, step.Cause = BuildImage, p.buildCause(m)
		}
		p.add(step)
	}
	p.createVolumes(m)
	p.add(Step{Action: Create, Component: m.Name, Object: name, Cause: cause, Changes: changes, Declared: m})
	p.add(Step{Action: Start, Component: m.Name, Object: name, Cause: cause, Declared: m})
}

// buildCause returns why the component's image is built.
func (p *planner) buildCause(m state.Component) string {
	for _, c := range p.have.containers {
		if c.Component() == m.Name && c.Image != m.Container.Image && strings.HasPrefix(c.Image, buildcontext.Repository+":") {
			return "its build context changed"
		}
	}
	return "the engine does not have it"
}

// repair plans the changes that the existing container needs and returns their causes; "" when it needs none.
func (p *planner) repair(m state.Component, have observe.ObservedContainer, drift observe.Drift, changed map[string]bool) string {
	var causes []string
	step := func(action Action, cause string, fill func(*Step)) {
		s := Step{Action: action, Component: m.Name, Object: have.Name, Cause: cause, Declared: m, ContainerID: have.ID, LastRun: have.EndedAt}
		if fill != nil {
			fill(&s)
		}
		p.add(s)
		causes = append(causes, cause)
	}
	if cause := p.confine(m, have, drift); cause != "" {
		causes = append(causes, cause)
	}
	for _, a := range drift.Attach {
		step(Connect, "it is not on network "+a.Network, func(s *Step) { s.Attachment = a })
	}
	for _, a := range drift.Reattach {
		step(Reconnect, "its alias on network "+a.Network+" is not as declared", func(s *Step) { s.Attachment = a })
	}
	if len(drift.Limits) > 0 {
		step(UpdateLimits, "its limits were changed: "+fields(drift.Limits), func(s *Step) { s.Changes = drift.Limits })
	}
	switch have.State {
	case engine.StateRunning:
		if p.isToRestart(m, have) {
			p.interrupt(have)
			step(Stop, causeRestart, func(s *Step) { s.Grace = have.Container.StopTimeout() })
			step(Start, causeRestart, nil)
		} else if action, cause := p.refresh(m, have, changed); action != "" {
			step(action, cause, nil)
		}
	case engine.StatePaused:
		step(Unpause, "it is paused", nil)
		if action, cause := p.refresh(m, have, changed); action == Reload {
			step(action, cause, nil)
		}
	case engine.StateCreated:
		step(Start, "it was never started", nil)
	case engine.StateExited:
		cause := exitCause(have)
		if p.isToRestart(m, have) {
			cause = causeRestart
		}
		step(Start, cause, nil)
	}
	return strings.Join(causes, "; ")
}

// isToRestart reports whether an operator asked for the end of the container's present run.
func (p *planner) isToRestart(m state.Component, have observe.ObservedContainer) bool {
	run, asked := p.want.Restart[m.Name]
	return asked && run.Is(runOf(have))
}

func exitCause(c observe.ObservedContainer) string {
	if c.OOMKilled {
		return "it was killed for exceeding its memory limit"
	}
	return fmt.Sprintf("it ended with exit code %d", c.ExitCode)
}

// confine plans the disconnection from networks that are not declared and returns the causes; "" when there are none.
func (p *planner) confine(m state.Component, have observe.ObservedContainer, drift observe.Drift) string {
	var causes []string
	for _, e := range drift.Detach {
		cause := "it is on network " + e.Network + ", which is not declared"
		if p.want.Cut && slices.ContainsFunc(p.want.Networks, func(n state.Network) bool { return n.Name == e.Network && !n.Internal }) {
			cause = causeCut
		}
		p.add(Step{
			Action: Disconnect, Component: m.Name, Object: have.Name, Cause: cause, Declared: m,
			ContainerID: have.ID, LastRun: have.EndedAt, Attachment: state.Attachment{Network: e.Network},
		})
		causes = append(causes, cause)
	}
	return strings.Join(causes, "; ")
}

// refresh returns what a running component needs to serve what is in its files, and why.
func (p *planner) refresh(m state.Component, have observe.ObservedContainer, changed map[string]bool) (Action, string) {
	for _, path := range m.DirPaths {
		if changed[path] && m.Reloads {
			return Reload, "its files changed"
		}
	}
	switch {
	case m.Config != "" && have.Config == "":
		return Reload, "it has not said which configuration it serves"
	case m.Config != "" && have.Config != m.Config:
		return Reload, "it serves an older configuration"
	case m.Config != "" && m.Reloads && p.isOutdated(m, have):
		return Reload, "its files are newer than what it serves"
	case m.Config == "" && kinds.All.Of(m.Name).Ready != component.ReadyWhenStable && have.Health == engine.HealthStarting:
		return Await, "its health check has no outcome yet"
	}
	return "", ""
}

// isOutdated reports whether a file was written after the component last read its files, as when bottled ended between the two. No
// digest covers tokens: it would invite guesses.
func (p *planner) isOutdated(m state.Component, have observe.ObservedContainer) bool {
	for _, path := range m.DirPaths {
		for _, f := range p.dirs[path] {
			if f.Modified.After(have.ReportedAt) {
				return true
			}
		}
	}
	return false
}

// isReady reports whether the component serves its configuration, regardless of other differences from its declaration.
func isReady(m state.Component, have observe.ObservedContainer) bool {
	switch {
	case have.State != engine.StateRunning || have.Health == engine.HealthUnhealthy:
		return false
	case m.Config != "":
		return have.Config == m.Config
	case kinds.All.Of(m.Name).Ready == component.ReadyWhenStable:
		return true
	}
	return have.Health != engine.HealthStarting
}

const causeDirMissing = "the directory is missing"

// files plans the writing of directories and returns those whose content changes.
func (p *planner) files() map[string]bool {
	changed := map[string]bool{}
	for _, dir := range p.want.Dirs {
		have, exists := p.dirs[dir.Path]
		changes := dirChanges(dir, have)
		if exists && len(changes) == 0 {
			continue
		}
		changed[dir.Path] = exists
		cause := "they are not as declared"
		if !exists {
			cause = causeDirMissing
		}
		p.add(Step{Action: WriteFiles, Object: dir.Path, Cause: cause, Changes: changes, Dir: dir})
	}
	return changed
}

func dirChanges(want state.Dir, have map[string]state.ObservedFile) []observe.Change {
	if want.Spool {
		return nil
	}
	var changes []observe.Change
	for _, name := range slices.Sorted(maps.Keys(want.Files)) {
		w := want.Files[name]
		h, ok := have[name]
		same := ok && w.Unknown == "" && string(h.Content.Reveal()) == string(w.Content.Reveal())
		switch {
		case !same:
			before, after := describe(h, w, ok)
			changes = append(changes, observe.Change{Field: name, Before: before, After: after})
		case h.Mode != w.Mode:
			changes = append(changes, observe.Change{Field: name, Before: fmt.Sprintf("mode %04o", h.Mode), After: fmt.Sprintf("mode %04o", w.Mode)})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want.Files[name]; !ok {
			changes = append(changes, observe.Change{Field: name, Before: "present", After: "(none)"})
		}
	}
	return changes
}

// describe returns the lines that differ, and nothing of a secret.
func describe(have state.ObservedFile, want state.File, exists bool) (before, after string) {
	switch {
	case want.Unknown != "":
		return "(none)", "(" + want.Unknown + ")"
	case !exists:
		return "(none)", "written"
	case want.Secret:
		return "(secret)", "(another secret)"
	}
	removed, added := lineDiff(string(have.Content.Reveal()), string(want.Content.Reveal()))
	return strings.Join(removed, "\n"), strings.Join(added, "\n")
}

// lineDiff returns the lines that are in one of the texts only, in their order there.
func lineDiff(before, after string) (removed, added []string) {
	count := map[string]int{}
	for _, l := range strings.Split(before, "\n") {
		count[l]++
	}
	for _, l := range strings.Split(after, "\n") {
		if count[l] > 0 {
			count[l]--
			continue
		}
		added = append(added, strings.TrimSpace(l))
	}
	for _, l := range strings.Split(before, "\n") {
		if count[l] > 0 {
			count[l]--
			removed = append(removed, strings.TrimSpace(l))
		}
	}
	return removed, added
}
