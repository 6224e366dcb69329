package service

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/kinds"
	"github.com/bot-bottle/bottled/state/owndir"
)

// Settings are the flags that every command has.
type Settings struct {
	Config, Owner, Prefix, StateDir, RunDir string
	SubnetPool                              string
	Images                                  map[state.ComponentName]*string
	AllowTokenExec                          []string // see state.ParseCommandPattern
	LogLevel                                string
	Parallel                                int
	Timeout                                 time.Duration

	// FlagNames are the flags of all commands: an environment variable of another name is a typo. nil for those of the command only.
	FlagNames []string
	origins   map[string]string // by flag: where its value comes from, unless that is the flag itself or its default
}

// Flags declares the flags.
func (s *Settings) Flags(f *pflag.FlagSet) {
	f.StringVar(&s.Config, "config", "", "configuration `file` (default: bottled/config.yaml in the user's configuration directory; /etc/bottled/config.yaml for root)")
	f.StringVar(&s.Owner, "owner", "default", "whose bottles: controllers with different owners never touch each other's")
	f.StringVar(&s.Prefix, "prefix", "claude-bottle", "prefix of every container's and network's name")
	f.StringVar(&s.StateDir, "state-dir", "", "`directory` of the sidecars' files and the proposals (default: bottled in the user's state directory; /var/lib/bottled for root)")
	f.StringVar(&s.RunDir, "run-dir", "", "`directory` of the tokens, best on a tmpfs (default: below /run for root, below XDG_RUNTIME_DIR for others)")
	f.StringVar(&s.SubnetPool, "subnet-pool", state.DefaultPool.String(), "IPv4 `range` that the bottles' networks are cut from")
	s.imageFlags(f)
	f.StringSliceVar(&s.AllowTokenExec, "allow-token-exec", nil, "`commands` that manifests may have run for tokens, separated by commas; a last word * stands for any further words")
	f.IntVar(&s.Parallel, "parallel", 2*runtime.NumCPU()+4, "bottles worked on at once")
	f.DurationVar(&s.Timeout, "timeout", time.Minute, "how long a component may take to become ready")
	f.StringVar(&s.LogLevel, "log-level", "info", "least `level` of what is logged: debug, info, warn, error")
}

// imageFlags declares a flag for the image of each component that has the setting.
func (s *Settings) imageFlags(f *pflag.FlagSet) {
	s.Images = map[state.ComponentName]*string{}
	for _, k := range kinds.All.Kinds() {
		if k.Image != nil {
			s.Images[k.ComponentName()] = f.String(k.ImageFlag(), k.Image.Default, k.Image.Usage)
		}
	}
}

// Image returns a component's image setting; "" when it has none.
func (s *Settings) Image(name state.ComponentName) string {
	if ref := s.Images[name]; ref != nil {
		return *ref
	}
	return ""
}

// legacyVariable is the environment variable of a flag that bot-bottle's users have set; "" when there is none.
func legacyVariable(flag string) string {
	for _, k := range kinds.All.Kinds() {
		if k.Image != nil && k.ImageFlag() == flag {
			return k.Image.Legacy
		}
	}
	return ""
}

// Resolve sets the flags that were not given from the environment, then from the configuration file, and checks the result.
func (s *Settings) Resolve(f *pflag.FlagSet) error {
	var failed []error
	s.origins = map[string]string{}
	set := func(flag *pflag.Flag, value any, from string) {
		if err := setFlag(f, flag, value); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", from, ExplainValue(err)))
		}
		s.origins[flag.Name] = from
	}
	f.VisitAll(func(flag *pflag.Flag) {
		for _, name := range []string{envName(flag.Name), legacyVariable(flag.Name)} {
			if value, ok := os.LookupEnv(name); ok && name != "" && !flag.Changed {
				set(flag, value, "environment variable "+name)
			}
		}
	})
	failed = append(failed, s.checkEnvironment(f, os.Environ())...)
	values, path, err := s.configFile()
	if err != nil {
		return err
	}
	for name, value := range values {
		flag := f.Lookup(name)
		switch {
		case flag == nil && !slices.Contains(commandSettings, name):
			failed = append(failed, fmt.Errorf("%s: unknown setting %q%s", path, name, suggestSetting(name, append(flagNames(f), commandSettings...))))
		case flag != nil && !flag.Changed:
			set(flag, value, path)
		}
	}
	if len(failed) == 0 { // a value that was not taken is not judged
		failed = s.check()
	}
	return errors.Join(failed...)
}

// setFlag sets a flag to a value of the configuration file or the environment. Only the former has lists.
func setFlag(f *pflag.FlagSet, flag *pflag.Flag, value any) error {
	list, isList := value.([]any)
	slice, takesLists := flag.Value.(pflag.SliceValue)
	if !isList || !takesLists {
		return f.Set(flag.Name, fmt.Sprint(value))
	}
	var texts []string
	for _, element := range list {
		texts = append(texts, fmt.Sprint(element))
	}
	return slice.Replace(texts)
}

func (s *Settings) configFile() (map[string]any, string, error) {
	path, given := s.Config, s.Config != ""
	if !given {
		path = "/etc/bottled/config.yaml"
		if os.Geteuid() != 0 {
			dir, err := os.UserConfigDir()
			if err != nil {
				return nil, "", nil //nolint:nilerr // no home, so no configuration file in it
			}
			path = filepath.Join(dir, "bottled", "config.yaml")
		}
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !given {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("configuration file: %w", err)
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(data, &values); err != nil {
		return nil, "", fmt.Errorf("configuration file %s: %w", path, err)
	}
	return values, path, nil
}

// namePattern is what the engine and DNS allow in the parts of a name.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)

func (s *Settings) check() []error {
	var failed []error
	for flag, value := range map[string]string{"owner": s.Owner, "prefix": s.Prefix} {
		if !namePattern.MatchString(value) {
			failed = append(failed, fmt.Errorf("--%s %q: use at most 40 lower-case letters, digits and dashes, as in a DNS label", flag, value))
		}
	}
	agentImage := s.Image(state.Agent)
	if _, err := reference.ParseNormalizedNamed(agentImage); agentImage != "" && err != nil {
		failed = append(failed, fmt.Errorf("--agent-image %q: %w", agentImage, err))
	}
	if !slices.Contains(LogLevels, s.LogLevel) {
		failed = append(failed, fmt.Errorf("--log-level %q: use %s", s.LogLevel, strings.Join(LogLevels, ", ")))
	}
	if s.Parallel < 1 {
		failed = append(failed, fmt.Errorf("--parallel %d: must be at least 1", s.Parallel))
	}
	if s.Timeout <= 0 {
		failed = append(failed, fmt.Errorf("--timeout %s: must be positive", s.Timeout))
	}
	if _, err := s.tokenExec(); err != nil {
		failed = append(failed, err)
	}
	if pool, err := netip.ParsePrefix(s.SubnetPool); err != nil {
		failed = append(failed, fmt.Errorf("--subnet-pool: %w", err))
	} else if err := state.CheckPool(pool); err != nil {
		failed = append(failed, err)
	}
	return failed
}

// StateSettings derives the settings of the bottles. It fails for directories that others could replace.
func (s *Settings) StateSettings(builtinImage string) (state.Settings, error) {
	settings, err := s.uncheckedStateSettings(builtinImage)
	if err != nil {
		return state.Settings{}, err
	}
	for flag, dir := range map[string]string{"--state-dir": settings.StateDir, "--run-dir": settings.RunDir} {
		if err := owndir.Check(dir); err != nil {
			return state.Settings{}, exit.Usage(fmt.Errorf("%w; or choose another directory with %s", err, flag))
		}
	}
	return settings, nil
}

func (s *Settings) uncheckedStateSettings(builtinImage string) (state.Settings, error) {
	stateDir, err := s.stateDir()
	if err != nil {
		return state.Settings{}, err
	}
	runDir, err := s.runDir(stateDir)
	if err != nil {
		return state.Settings{}, err
	}
	user := "65532:65532"
	if os.Geteuid() != 0 {
		// Only root may give files to another user.
		user = fmt.Sprintf("%d:%d", os.Geteuid(), os.Getegid())
	}
	images := map[state.ComponentName]string{}
	for name, ref := range s.Images {
		if name != state.Agent { // whose image is the manifest's, and the setting its default
			images[name] = *ref
		}
	}
	allowed, err := s.tokenExec()
	if err != nil {
		return state.Settings{}, err
	}
	return state.Settings{
		Owner: s.Owner, Prefix: s.Prefix, StateDir: stateDir, RunDir: runDir, Pool: netip.MustParsePrefix(s.SubnetPool),
		Images: images, AgentImage: s.Image(state.Agent), BuiltinImage: builtinImage, User: user,
		TokenExec: allowed,
	}, nil
}

// tokenExec returns the commands that manifests may have run.
func (s *Settings) tokenExec() ([]state.CommandPattern, error) {
	var allowed []state.CommandPattern
	for _, text := range s.AllowTokenExec {
		pattern, err := state.ParseCommandPattern(text)
		if err != nil {
			return nil, fmt.Errorf("--allow-token-exec: %w", err)
		}
		allowed = append(allowed, pattern)
	}
	return allowed, nil
}
