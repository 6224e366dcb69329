package command

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
)

// Selection is which bottles a command is about: those named, or those whose labels match, or all.
type Selection struct {
	Bottles  []string
	selector labels.Selector // nil: none is given
}

// AddFlag declares -l.
func (s *Selection) AddFlag(f *pflag.FlagSet) {
	f.VarP(selectorValue{&s.selector}, "selector", "l", "only bottles whose metadata.labels match, as in `team=core,tier!=test`")
}

// IsSet says whether not all bottles are meant.
func (s Selection) IsSet() bool { return len(s.Bottles) > 0 || s.selector != nil }

// HasSelector says whether bottles are chosen by their labels.
func (s Selection) HasSelector() bool { return s.selector != nil }

// Of are the bottles of a status that are meant. The error is about names that no bottle has.
func (s Selection) Of(status reconciler.Status) ([]reconciler.BottleStatus, error) {
	bottles, err := status.Select(s.Bottles)
	if s.selector == nil {
		return bottles, err
	}
	var matching []reconciler.BottleStatus
	for _, b := range bottles {
		if s.selector.Matches(labels.Set(b.Labels)) {
			matching = append(matching, b)
		}
	}
	return matching, err
}

// Names are the names of the bottles of a status that are meant.
func (s Selection) Names(status reconciler.Status) ([]string, error) {
	bottles, err := s.Of(status)
	names := make([]string, 0, len(bottles))
	for _, b := range bottles {
		names = append(names, b.Slug)
	}
	return names, err
}

// selectorValue is the value of -l, in the syntax of Kubernetes.
type selectorValue struct{ to *labels.Selector }

func (v selectorValue) Set(text string) error {
	parsed, err := labels.Parse(text)
	if err != nil {
		return exit.Usage(fmt.Errorf("%w; write for instance team=core, tier!=test, team in (core, web) or team", err))
	}
	*v.to = parsed
	return nil
}

func (v selectorValue) String() string {
	if *v.to == nil {
		return ""
	}
	return (*v.to).String()
}

func (selectorValue) Type() string { return "string" }
