package service

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

const envPrefix = "BOTTLED_"

// envName is the environment variable of a flag.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// commandSettings are flags of single commands that the configuration file may hold, too: it is the same file for all commands.
var commandSettings = []string{
	"prune", "output", "deep", "resync", "listen", "audit-key-file", "approve-timeout", "teardown-on-exit", "git", "path", "git-interval", "git-keys", "git-token-file", "git-push", "git-author",
	"api-tokens-file", "notify-webhook", "notify-webhook-secret-file", "notify-exec", "notify-desktop",
}

// IsCommandSetting says whether the configuration file may hold a flag of a single command.
func IsCommandSetting(flag string) bool { return slices.Contains(commandSettings, flag) }

// foreignVariables are environment variables of the same prefix that are no settings: those of the tests, and of the shell completion.
var foreignVariables = []string{envPrefix + "TEST_", envPrefix + "ACTIVE_HELP", envPrefix + "COMPLETION_DESCRIPTIONS"}

// checkEnvironment reports the variables that look like a setting and are none: most likely typos.
func (s *Settings) checkEnvironment(f *pflag.FlagSet, environment []string) []error {
	flags := s.FlagNames
	if flags == nil {
		flags = append(flagNames(f), commandSettings...)
	}
	var known []string
	for _, flag := range flags {
		known = append(known, envName(flag))
	}
	var failed []error
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		isForeign := func(prefix string) bool { return strings.HasPrefix(name, prefix) }
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(known, name) || slices.ContainsFunc(foreignVariables, isForeign) {
			continue
		}
		failed = append(failed, fmt.Errorf("environment variable %s: unknown setting%s", name, suggestVariable(name, flags)))
	}
	return failed
}

func flagNames(f *pflag.FlagSet) []string {
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	return names
}

// suggestVariable compares what is behind the prefix, which all have.
func suggestVariable(name string, flags []string) string {
	if meant := scalar.Closest(strings.TrimPrefix(name, envPrefix), flags); meant != "" {
		return "; did you mean " + envName(meant) + "?"
	}
	return "; see bottled --help"
}

// suggestSetting is the end of a message about a name that is no setting.
func suggestSetting(name string, known []string) string {
	if meant := scalar.Closest(name, known); meant != "" {
		return "; did you mean " + meant + "?"
	}
	return "; see bottled --help"
}

// Setting is the value of a setting, and where it comes from.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "default", "flag", an environment variable or the path of the configuration file
}

// View returns the settings among a command's flags, by name, after they were resolved. A default that depends on the user or the owner is
// worked out.
func (s *Settings) View(f *pflag.FlagSet) ([]Setting, error) {
	stateDir, err := s.stateDir()
	if err != nil {
		return nil, err
	}
	runDir, err := s.runDir(stateDir)
	if err != nil {
		return nil, err
	}
	_, config, err := s.configFile()
	if err != nil {
		return nil, err
	}
	effective := map[string]string{"state-dir": stateDir, "run-dir": runDir, "config": config}
	var all []Setting
	f.VisitAll(func(flag *pflag.Flag) {
		if flag.Name == "help" {
			return
		}
		setting := Setting{Name: flag.Name, Value: flag.Value.String(), Origin: "default"}
		if value, has := effective[flag.Name]; has {
			setting.Value = value
		}
		if flag.Name == webhookFlag {
			setting.Value = withoutPath(setting.Value)
		}
		if origin, has := s.origins[flag.Name]; has {
			setting.Origin = origin
		} else if flag.Changed {
			setting.Origin = "flag"
		}
		all = append(all, setting)
	})
	slices.SortFunc(all, func(a, b Setting) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// LogLevels are the values of --log-level.
var LogLevels = []string{"debug", "info", "warn", "error"}

// ExplainValue puts the error about a flag's value into words: not those of the function that parses it.
func ExplainValue(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return err
	}
	flag := invalid.GetFlag()
	advice := invalid.Unwrap().Error()
	var number *strconv.NumError
	switch {
	case errors.As(err, &number) && flag.Value.Type() == "bool":
		advice = "write true or false"
	case errors.As(err, &number):
		advice = "write a number"
	case strings.HasPrefix(advice, "time: "): // of time.ParseDuration
		advice = "write a duration like 30s or 2m"
	}
	return fmt.Errorf("--%s %q: %s", flag.Name, invalid.GetValue(), advice)
}
