package describe

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
)

// lines are a description for people: the status as bottled status has it, then a section for everything else.
func lines(d service.Description, now time.Time) []report.Line {
	all := report.Full(reconciler.Status{Bottles: []reconciler.BottleStatus{d.Status}}, now)
	all = append(all, section("Conditions", conditions(d.Status, now))...)
	all = append(all, Declared(d)...)
	all = append(all, section("Proposals that wait for an answer", proposals(d.Waiting, now))...)
	all = append(all, section("Refused most often", denied(d.Denied, now))...)
	all = append(all, section("Events", events(d.Events, now))...)
	return append(all, section("Warnings", plain(d.Warnings))...)
}

// Declared is what a bottle is declared as, in sections: what it runs, reaches and has.
func Declared(d service.Description) []report.Line {
	all := section("Declaration", declaration(d))
	if d.Manifest != "" {
		all = append(all, section("Egress", egress(d.Spec))...)
	}
	all = append(all, section("Ports", ports(d))...)
	all = append(all, section("Networks", networks(d.Networks))...)
	all = append(all, section("Volumes", report.Volumes(d.Status))...)
	return append(all, section("Limits", limits(d.Limits))...)
}

// section is a title with indented lines, below an empty one; nothing where there are no lines.
func section(title string, of []report.Line) []report.Line {
	if len(of) == 0 {
		return nil
	}
	all := []report.Line{{}, {Text: title}}
	for _, l := range of {
		l.Text = "  " + l.Text
		all = append(all, l)
	}
	return all
}

func line(format string, args ...any) report.Line {
	return report.Line{Text: fmt.Sprintf(format, args...)}
}

func plain(texts []string) []report.Line {
	var all []report.Line
	for _, text := range texts {
		all = append(all, line("%s", text))
	}
	return all
}

func conditions(b reconciler.BottleStatus, now time.Time) []report.Line {
	var all []report.Line
	for _, c := range b.Conditions {
		all = append(all, line("%-12s  %-7s  for %-4s  %s", c.Type, c.Status, report.Age(c.LastTransitionTime, now), report.Because(c.Reason, c.Message)))
	}
	if b.RetryAt.After(now) {
		all = append(all, line("next try in %s", report.Age(now, b.RetryAt)))
	}
	return all
}

func declaration(d service.Description) []report.Line {
	if d.Manifest == "" {
		return plain([]string{"it has never run as it is declared"})
	}
	all := []report.Line{line("manifest    %s", d.Manifest)}
	if s := d.Status; s.Generation != 0 {
		all = append(all, line("generation  %d, in force %d", s.Generation, s.ObservedGeneration))
	}
	for _, s := range d.Spec.Services {
		all = append(all, line("service     %s, %s", s.Name, s.Image))
		for _, v := range s.Volumes {
			all = append(all, line("volume      %s at %s of %s", v.Name, v.Target, s.Name))
		}
	}
	if agent := d.Spec.Agent; agent != nil {
		if agent.Build != nil {
			all = append(all, line("agent       built from %s", agent.Build.Context))
		} else {
			all = append(all, line("agent       %s", agent.Image))
		}
		if len(agent.Command) > 0 {
			all = append(all, line("command     %q", agent.Command))
		}
		for _, m := range agent.Mounts {
			mode := ""
			if m.ReadOnly {
				mode = ", read-only"
			}
			all = append(all, line("mount       %s at %s%s", m.Source, m.Target, mode))
		}
		for _, v := range agent.Volumes {
			all = append(all, line("volume      %s at %s", v.Name, v.Target))
		}
	}
	if d.Spec.Supervise {
		all = append(all, line("supervise   the agent may ask for more"))
	}
	return all
}

// until says when an entry of the allowlist ends.
func until(a v1alpha1.AllowedHost) string {
	switch {
	case a.Until.IsZero():
		return ""
	case !a.In(time.Now()):
		return ", ended " + a.Until.Format(time.RFC3339)
	}
	return ", until " + a.Until.Format(time.RFC3339)
}

func egress(spec v1alpha1.Spec) []report.Line {
	var all []report.Line
	for _, a := range spec.Egress.Allowlist {
		all = append(all, line("host        %s%s", a.Host, until(a)))
	}
	for _, cidr := range spec.Egress.PrivateCIDRs {
		all = append(all, line("private     %s", cidr))
	}
	if spec.CredProxy != nil {
		for _, r := range spec.CredProxy.Routes {
			only := ""
			if len(r.Methods) > 0 {
				only = ", only " + strings.Join(r.Methods, ", ")
			}
			all = append(all, line("route       %s to %s%s", r.Path, r.Upstream, only))
		}
	}
	if len(all) == 0 {
		all = plain([]string{"nothing may be reached"})
	}
	return append(all, line("DLP         %s", cmp.Or(spec.Egress.DLPAction, v1alpha1.DLPBlock)))
}

// ports are what is listened on or, without a controller, what is declared.
func ports(d service.Description) []report.Line {
	var all []report.Line
	for _, p := range d.Status.Ports {
		state := "listening"
		if a, err := netip.ParseAddrPort(p.Host); err == nil && !a.Addr().IsLoopback() {
			state += ", for everybody who reaches this address"
		}
		if !p.Listening {
			state = p.Error
		}
		all = append(all, line("%s leads to port %d of the agent: %s", p.Host, p.Container, state))
	}
	if len(all) == 0 && d.Spec.Agent != nil {
		for _, p := range d.Spec.Agent.Ports {
			all = append(all, line("%s leads to port %d of the agent: not listening", p.Host, p.Container))
		}
	}
	return all
}

func networks(of []service.DescribedNetwork) []report.Line {
	var all []report.Line
	for _, n := range of {
		kind := "egress"
		if n.Internal {
			kind = "internal"
		}
		all = append(all, line("%-10s  %-18s  %s", kind, n.Subnet, n.Name))
	}
	return all
}

func limits(of []service.DescribedLimits) []report.Line {
	var all []report.Line
	for _, l := range of {
		var some []string
		if l.Memory > 0 {
			some = append(some, fmt.Sprintf("%dMi", l.Memory>>20))
		}
		if l.NanoCPUs > 0 {
			some = append(some, fmt.Sprintf("%g CPU", float64(l.NanoCPUs)/1e9))
		}
		if l.Pids > 0 {
			some = append(some, fmt.Sprintf("%d processes", l.Pids))
		}
		all = append(all, line("%-10s  %s", l.Component, cmp.Or(strings.Join(some, ", "), "none")))
	}
	return all
}

func proposals(of []reconciler.Proposal, now time.Time) []report.Line {
	var all []report.Line
	short := report.ShortIDs(of)
	for _, p := range of {
		all = append(all, line("%s  %s ago  %s", short[p.ID], report.Age(p.Asked, now), report.Short(report.Flat(p.Summary))), line("  %s", report.Short(report.Flat(p.Justification))))
	}
	return all
}

func denied(of []service.Observed, now time.Time) []report.Line {
	var all []report.Line
	for _, o := range of {
		all = append(all, line("%s, %s ago  %s", report.Count(o.Count, "time"), report.Age(o.Last, now), report.Short(strings.TrimSpace(o.Entry+"  "+o.Reason))))
	}
	return all
}

func events(of []reconciler.Event, now time.Time) []report.Line {
	var all []report.Line
	for _, e := range of {
		l := report.Event(e, now)
		l.Text = fmt.Sprintf("%4s ago  %s", report.Age(e.Time, now), l.Text)
		all = append(all, l)
	}
	return all
}
