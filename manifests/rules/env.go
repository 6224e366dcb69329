package rules

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bot-bottle/bottled/manifests/envfile"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// maxEnvFiles bounds spec.agent.envFile.
const maxEnvFiles = 16

func validateEnv(d *parse.Document, agent *v1alpha1.Agent) {
	if field := v1alpha1.EnvFileField; d.Given(field) && len(agent.EnvFile) > maxEnvFiles {
		d.Report(field, fmt.Sprintf("%d files are more than %d", len(agent.EnvFile), maxEnvFiles), "write them into one")
	}
	for i, path := range agent.EnvFile {
		validatePath(d, parse.ElementOf(v1alpha1.EnvFileField, i), path)
	}
	validateVariables(d, v1alpha1.EnvField, agent.Env, settersOf(d.Bottle))
}

// validateVariables validates the environment of one container. setters has who sets the variables that are reserved there.
func validateVariables(d *parse.Document, env string, variables map[string]v1alpha1.EnvValue, setters map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		field := scalar.FieldOf(env, name)
		if !scalar.EnvNamePattern.Matches(name) {
			d.Report(field, "it is not the name of an environment variable", "use letters, digits and underscores, at most 120")
			continue
		}
		if f := reservedEnv(setters, name); f != nil {
			d.Report(field, f.Reason, f.Fix)
		}
		validateEnvValue(d, field, variables[name])
	}
}

func validateEnvValue(d *parse.Document, field string, v v1alpha1.EnvValue) {
	env, file := d.Has(field+".env"), d.Has(field+".file")
	if env && file {
		d.Report(field, "env and file are both given", "write a text, {file: PATH} or {env: NAME}")
	}
	if d.Given(field+".env") && !scalar.EnvNamePattern.Matches(v.Env) {
		d.Report(field+".env", "it is not the name of an environment variable", "write the name of a variable of bottled; letters, digits and underscores, at most 120")
	}
	if file {
		validatePath(d, field+".file", v.File)
	}
}

func reservedEnv(setters map[string]string, name string) *scalar.Fault {
	if by := setters[family(name)]; by != "" {
		return scalar.NewFault(name+" is set by "+by, "remove it")
	}
	return nil
}

// CheckEnvFile validates the variables of an env file of a valid bottle.
func CheckEnvFile(b v1alpha1.Bottle, variables []envfile.Variable) []envfile.Problem {
	var problems []envfile.Problem
	setters := settersOf(b)
	for _, v := range variables {
		if f := reservedEnv(setters, v.Name); f != nil {
			problems = append(problems, envfile.Problem{Line: v.Line, Fault: *f})
		}
	}
	return problems
}

// CheckShown says why the content of a file must not be shown to an agent; nil when it may: what no mount may lead to without
// allowDangerous must not reach it through its environment either.
func CheckShown(o *safepath.Object) error {
	f := judgeObject(o, v1alpha1.Mount{Source: o.Real, ReadOnly: true})
	if f == nil {
		return nil
	}
	return fmt.Errorf("an agent must not see it: %s; name another file", f.Reason)
}

// refuseTokensInEnv reports variables whose value is read from where a token is: an agent must not see it.
func refuseTokensInEnv(d *parse.Document, tokens []tokenSource) {
	refuse := func(field string, is func(tokenSource) bool) {
		if i := slices.IndexFunc(tokens, is); i >= 0 {
			d.Report(field, tokens[i].field+" of the bottle at "+tokens[i].where+" is read from there, and an agent must not see a token",
				"remove it; the agent uses the token through the route")
		}
	}
	refuseFile := func(field, path string) {
		if trace, _, err := safepath.Trace(path); path != "" && err == nil {
			refuse(field, func(t tokenSource) bool { return len(t.trace) > 0 && t.trace[len(t.trace)-1] == trace[len(trace)-1] })
		}
	}
	if agent := d.Bottle.Spec.Agent; agent != nil {
		for i, path := range agent.EnvFile {
			refuseFile(parse.ElementOf(v1alpha1.EnvFileField, i), absolutePath(d, path))
		}
	}
	for _, e := range d.Bottle.Spec.Environments() {
		for _, name := range slices.Sorted(maps.Keys(e.Env)) {
			field, v := scalar.FieldOf(e.Field, name), e.Env[name]
			refuse(field, func(t tokenSource) bool { return v.Env != "" && t.env == v.Env })
			if v.File != "" {
				refuseFile(field, absolutePath(d, v.File))
			}
		}
	}
}
