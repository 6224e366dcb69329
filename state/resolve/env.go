package resolve

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bot-bottle/bottled/manifests/envfile"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// maxEnvValue bounds the file of one variable, in bytes. The kernel takes no variable above 128 KiB.
const maxEnvValue = 64 << 10

// readEnv reads the environments of the containers, as far as they are read. A later file of the agent's takes precedence, and references
// over all files.
func (r Reader) readEnv(in *Inputs, m v1alpha1.Bottle) []*InputError {
	var failed []*InputError
	if agent := m.Spec.Agent; agent.ReadsEnv() {
		in.Env, failed = r.readAgentEnv(m, agent)
	}
	for i, s := range m.Spec.Services {
		if !s.ReadsEnv() {
			continue
		}
		env := map[string]string{}
		errs := r.readReferences(env, m, parse.ElementOf(v1alpha1.ServicesField, i)+".env", s.Env)
		if failed = append(failed, errs...); len(errs) > 0 {
			continue
		}
		if in.ServiceEnv == nil {
			in.ServiceEnv = map[string]map[string]string{}
		}
		in.ServiceEnv[s.Name] = env
	}
	return failed
}

// readAgentEnv returns nil when something can't be read.
func (r Reader) readAgentEnv(m v1alpha1.Bottle, agent *v1alpha1.Agent) (map[string]string, []*InputError) {
	var failed []*InputError
	env := map[string]string{}
	for i, path := range agent.EnvFile {
		variables, errs := r.readEnvFile(m, path)
		for _, err := range errs {
			failed = append(failed, inputError(m, parse.ElementOf(v1alpha1.EnvFileField, i), err))
		}
		for _, v := range variables {
			env[v.Name] = v.Value
		}
	}
	if failed = append(failed, r.readReferences(env, m, v1alpha1.EnvField, agent.Env)...); len(failed) > 0 {
		return nil, failed
	}
	return env, nil
}

// readReferences adds the values of the variables that are no texts. field is that of the declared mapping.
func (r Reader) readReferences(env map[string]string, m v1alpha1.Bottle, field string, declared map[string]v1alpha1.EnvValue) []*InputError {
	var failed []*InputError
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		v := declared[name]
		if v.IsText() {
			continue
		}
		value, err := r.readEnvValue(v)
		if err != nil {
			failed = append(failed, inputError(m, scalar.FieldOf(field, name), err))
		}
		env[name] = value
	}
	return failed
}

func (r Reader) readEnvFile(m v1alpha1.Bottle, path string) (variables []envfile.Variable, errs []error) {
	data, err := r.readShown(path, envfile.MaxBytes)
	if err != nil {
		return nil, []error{missing(err, "make the file, or correct the path")}
	}
	variables, problems := envfile.Parse(data)
	for _, p := range append(problems, rules.CheckEnvFile(m, variables)...) {
		errs = append(errs, fmt.Errorf("%s:%w", path, p))
	}
	return variables, errs
}

func (r Reader) readEnvValue(v v1alpha1.EnvValue) (string, error) {
	value, from, err := r.readReference(v)
	if err != nil {
		return "", err
	}
	switch f := scalar.CheckText(value); {
	case f != nil:
		return "", fmt.Errorf("%s: %s; %s", from, f.Reason, f.Fix)
	case !utf8.ValidString(value):
		return "", fmt.Errorf("%s: it is not UTF-8 text; a variable holds nothing else", from)
	case len(value) > maxEnvValue:
		return "", fmt.Errorf("%s: more than %d bytes; mount a file instead", from, maxEnvValue)
	}
	return value, nil
}

// readReference returns what a reference leads to, and the name of that for messages.
func (r Reader) readReference(v v1alpha1.EnvValue) (value, from string, err error) {
	if v.Env == "" {
		data, err := r.readShown(v.File, maxEnvValue)
		return withoutNewline(string(data)), v.File, missing(err, "put the value there, or correct the path")
	}
	from = "environment variable " + v.Env
	value, set := r.Getenv(v.Env)
	if !set {
		return "", from, unavailable{fmt.Errorf("%s is not set: export it where bottled runs, and restart bottled", from)}
	}
	return value, from, nil
}

// withoutNewline drops one newline at the end of a file.
func withoutNewline(text string) string {
	if line, ended := strings.CutSuffix(text, "\n"); ended {
		return strings.TrimSuffix(line, "\r")
	}
	return text
}

// readShown reads a file whose content the agent gets to see.
func (r Reader) readShown(path string, limit int64) ([]byte, error) {
	o, err := r.Writable.Open(path)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if err := rules.CheckShown(o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if own, shows, err := exposedOutsideCheckouts(r.Settings, o.Location()); err != nil || shows {
		return nil, errors.Join(err, fmt.Errorf("%s: an agent must not see bottled's own files in %s; name another file", path, own))
	}
	data, err := o.Read(limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}
