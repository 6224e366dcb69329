package rules

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// kernelTargets are directories in the agent that the kernel fills.
var kernelTargets = []string{"/proc", "/sys", "/dev"}

// validateMounts validates the agent's mounts and returns which mount each target belongs to.
func validateMounts(d *parse.Document, mounts []v1alpha1.Mount) (holders map[string]string) {
	holders = map[string]string{}
	for i, m := range mounts {
		field := parse.ElementOf(v1alpha1.MountsField, i)
		if validatePath(d, field+".source", m.Source) {
			m.Source = absolutePath(d, m.Source)
			if f := judgeSource(m); f != nil {
				d.Report(field+".source", f.Reason, f.Fix)
			}
		}
		validateTarget(d, field+".target", m.Target, parse.ElementOf("mounts", i), holders)
	}
	return holders
}

// validateTarget validates the target of a mount or volume. holders has the other ones of the container by their targets.
func validateTarget(d *parse.Document, field, target, holder string, holders map[string]string) {
	if !d.Given(field) {
		return
	}
	if f := checkTarget(target); f != nil {
		d.Report(field, f.Reason, f.Fix)
		return
	}
	if other, taken := holders[target]; taken {
		d.Report(field, fmt.Sprintf("%s is the target of %s too", scalar.Quote(target), other), "choose another target")
		return
	}
	holders[target] = holder
}

// judgeSource judges a mount by the text of its source and, where that exists, by what is there.
func judgeSource(m v1alpha1.Mount) *scalar.Fault {
	if f := judgePath(m.Source, m); f != nil {
		return f
	}
	o, err := safepath.Open(m.Source)
	if err != nil {
		return nil // what is missing is reported when the bottle is made
	}
	defer o.Close()
	return judgeObject(o, m)
}

// CheckMount says why what a mount's source leads to must not be mounted in an agent; nil when it may.
func CheckMount(o *safepath.Object, m v1alpha1.Mount) error {
	if f := judgeObject(o, m); f != nil {
		return errors.New(f.Reason + "; " + f.Fix)
	}
	return nil
}

func judgeObject(o *safepath.Object, m v1alpha1.Mount) *scalar.Fault {
	if f := judgePath(o.Real, m); f != nil {
		return f
	}
	return judgeType(o, m)
}

func checkTarget(target string) *scalar.Fault {
	const fix = "write an absolute path in the agent, like /work"
	switch {
	case target == "":
		return scalar.NewFault("the target is empty", fix)
	case !strings.HasPrefix(target, "/"):
		return scalar.NewFault("the target "+scalar.Quote(target)+" is not absolute", fix)
	case path.Clean(target) != target:
		return scalar.NewFault("the target "+scalar.Quote(target)+" is not clean", "write "+scalar.Quote(path.Clean(target)))
	case !targetPattern.Matches(target):
		return scalar.NewFault("the target / would hide the agent's image", fix)
	case isBelow(target, kernelTargets) || isBelow(target, contract.AgentPaths()):
		return scalar.NewFault(scalar.Quote(target)+" is in a place that bottled or the kernel fills", "choose another target, like /work")
	}
	return nil
}

// isBelow reports whether a path is one of the directories or in one of them.
func isBelow(p string, directories []string) bool {
	return slices.ContainsFunc(directories, func(directory string) bool {
		return p == directory || strings.HasPrefix(p, strings.TrimSuffix(directory, "/")+"/")
	})
}
