package rules

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Schema is the JSON Schema (draft 2020-12, indented) of one manifest document, for editors. It is made
// from the types and from the patterns and lists of the validation. What needs more than one field, or
// the host, is left to the validation.
func Schema() ([]byte, error) {
	reflector := jsonschema.Reflector{Anonymous: true, ExpandedStruct: true}
	schema := reflector.Reflect(&v1alpha1.Bottle{})
	schema.Title = "bottled manifest"
	schema.Description = "One bottle: an isolated network, its sidecars and, if declared, the agent in it."
	for _, c := range constraints {
		property, err := propertyOf(schema, c.field)
		if err != nil {
			return nil, err
		}
		c.set(property)
	}
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write the JSON Schema: %w", err)
	}
	return append(text, '\n'), nil
}

// constraint is what the validation demands of a field, named by its Go type and key.
type constraint struct {
	field string
	set   func(*jsonschema.Schema)
}

var constraints = []constraint{
	{"Bottle.apiVersion", constant(v1alpha1.APIVersion)},
	{"Bottle.kind", constant(v1alpha1.Kind)},
	{"Metadata.name", matching(v1alpha1.NamePattern)},
	{"Metadata.labels", mapOf(labelKeyPattern, matching(labelValuePattern))},
	{"Spec.supervise", byDefault(false)},
	{"Approvals.expireAfter", both(matching(durationPattern), byDefault("24h"))},
	{"Approvals.auto", between(0, maxAutoRules)},
	{"AutoRule.tool", constant(v1alpha1.ToolPipelockBlock)},
	{"AutoRule.hosts", both(between(1, maxAutoHosts), each(matching(scalar.AllowedPattern)))},
	{"AutoRule.for", matching(durationPattern)},
	{"AutoRule.max", both(numbered(1, maxAutoMax), byDefault(v1alpha1.DefaultAutoMax))},
	{"Egress.allowlist", each(textOrMapping(scalar.AllowedPattern))},
	{"AllowedHost.host", matching(scalar.AllowedPattern)},
	{"Egress.dlpAction", oneOf(dlpActions)},
	{"Egress.dlpExceptions", both(between(0, maxDLPExceptions), both(each(exactlyOne("route", "host")), unique))},
	{"DLPException.rule", oneOf(contract.DLPRules())},
	{"DLPException.route", matching(route.PathPattern)},
	{"DLPException.host", matching(scalar.AllowedPattern)},
	{"Egress.privateCIDRs", each(matching(cidrPattern))},
	{"CredProxy.caBundle", notEmpty},
	{"CredProxy.routes", between(1, route.MaxRoutes)},
	{"Route.path", matching(route.PathPattern)},
	{"Route.upstream", matching(route.UpstreamPattern)},
	{"Route.authScheme", both(matching(route.AuthSchemePattern), byDefault(route.DefaultAuthScheme))},
	{"Route.authHeader", matching(route.AuthHeaderPattern)},
	{"Route.authQuery", matching(route.AuthQueryPattern)},
	{"Route.methods", listOf(route.MaxMethods, route.MethodPattern)},
	{"Route.maxRequestBody", matching(scalar.QuantityPattern)},
	{"Route.allowQuery", listOf(route.MaxAllowed, route.ParameterPattern)},
	{"Route.headers", both(mapOf(route.AuthHeaderPattern, matching(route.HeaderPattern)), sized(1, route.MaxHeaders))},
	{"Route.gitURLs", listOf(route.MaxGitURLs, route.GitURLPattern)},
	{"Route.allowSetCookie", byDefault(false)},
	{"PathRules.allow", listOf(route.MaxPathRules, route.PathRulePattern)},
	{"PathRules.deny", listOf(route.MaxPathRules, route.PathRulePattern)},
	{"RateLimit.requestsPerMinute", numbered(1, route.MaxRate)},
	{"RateLimit.burst", numbered(1, route.MaxRate)},
	{"Route.roles", both(each(oneOf(route.Roles())), unique)},
	{"Route.insecureUpstream", byDefault(false)},
	{"Route.token", exactlyOne("env", "file", "exec")},
	{"SecretRef.env", matching(scalar.EnvNamePattern)},
	{"SecretRef.file", notEmpty},
	{"SecretRef.exec", both(between(1, route.MaxTokenWords), each(notEmpty))},
	{"SecretRef.refresh", matching(route.RefreshPattern)},
	{"Spec.agent", exactlyOne("image", "build")},
	{"Agent.image", notEmpty},
	{"Build.context", notEmpty},
	{"Build.dockerfile", both(matching(dockerfilePattern), byDefault(defaultDockerfile))},
	{"Build.network", both(oneOf(buildNetworks), byDefault(v1alpha1.BuildNetworkNone))},
	{"Agent.command", each(notEmpty)},
	{"Agent.envFile", both(each(notEmpty), between(0, maxEnvFiles))},
	{"Agent.env", mapOf(scalar.EnvNamePattern, textOr("env", "file"))},
	{"EnvValue.env", matching(scalar.EnvNamePattern)},
	{"EnvValue.file", notEmpty},
	{"Agent.runtime", matching(runtimePattern)},
	{"Agent.user", matching(userPattern)},
	{"Agent.workdir", matching(workdirPattern)},
	{"Agent.tty", byDefault(false)},
	{"Agent.stdin", byDefault(false)},
	{"Agent.shmSize", matching(scalar.QuantityPattern)},
	{"Agent.tmpfs", between(0, maxTmpfs)},
	{"Tmpfs.target", matching(targetPattern)},
	{"Tmpfs.size", both(matching(scalar.QuantityPattern), byDefault(v1alpha1.DefaultTmpfsSize))},
	{"Tmpfs.mode", both(matching(modePattern), byDefault(defaultTmpfsMode))},
	{"Agent.stopGracePeriod", matching(durationPattern)},
	{"Agent.hostname", matching(hostnamePattern)},
	{"Agent.extraHosts", mapOf(extraHostPattern, notEmpty)},
	{"Agent.devices", between(0, maxDevices)},
	{"Device.source", matching(devicePattern)},
	{"Device.target", matching(devicePattern)},
	{"Device.permissions", both(matching(permissionsPattern), byDefault(defaultPermissions))},
	{"Device.allowDangerous", byDefault(false)},
	{"Agent.gpus", allOrNumberOrList(gpuIDPattern, maxGPUs)},
	{"Agent.restart", both(oneOf(restarts), byDefault(v1alpha1.RestartOnFailure))},
	{"Agent.backoffLimit", both(numbered(0, maxBackoffLimit), byDefault(v1alpha1.DefaultBackoffLimit))},
	{"Mount.source", notEmpty},
	{"Mount.target", matching(targetPattern)},
	{"Mount.readOnly", byDefault(false)},
	{"Mount.allowDangerous", byDefault(false)},
	{"Spec.services", atMost(v1alpha1.MaxServices)},
	{"Service.name", matching(v1alpha1.NamePattern)},
	{"Service.image", notEmpty},
	{"Service.command", each(notEmpty)},
	{"Service.env", mapOf(scalar.EnvNamePattern, textOr("env", "file"))},
	{"Service.tmpfs", between(0, maxTmpfs)},
	{"Service.stopGracePeriod", matching(durationPattern)},
	{"Service.user", matching(userPattern)},
	{"Healthcheck.command", both(atLeastOne, each(notEmpty))},
	{"Healthcheck.interval", both(matching(durationPattern), byDefault(v1alpha1.DefaultHealthInterval.String()))},
	{"Healthcheck.timeout", both(matching(durationPattern), byDefault(v1alpha1.DefaultHealthTimeout.String()))},
	{"Healthcheck.startPeriod", both(matching(durationPattern), byDefault("1m"))},
	{"Healthcheck.retries", both(numbered(1, maxHealthRetries), byDefault(v1alpha1.DefaultHealthRetries))},
	{"Volume.name", matching(v1alpha1.NamePattern)},
	{"Volume.target", matching(targetPattern)},
	{"Volume.retain", byDefault(true)},
	{"Agent.ports", between(0, maxPorts)},
	{"Port.container", numbered(1, 65535)},
	{"Port.host", matching(hostAddressPattern)},
	{"Resources.memory", matching(scalar.QuantityPattern)},
	{"Resources.cpus", matching(scalar.QuantityPattern)},
	{"Resources.pids", numbered(1, maxPids)},
}

func propertyOf(root *jsonschema.Schema, field string) (*jsonschema.Schema, error) {
	typeName, key, _ := strings.Cut(field, ".")
	owner := root.Definitions[typeName]
	if typeName == "Bottle" {
		owner = root
	}
	if owner != nil && owner.Properties != nil {
		if property, ok := owner.Properties.Get(key); ok {
			return property, nil
		}
	}
	return nil, fmt.Errorf("make the JSON Schema: no field %s: the constraints don't fit the types", field)
}

func constant(value string) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { s.Const = value }
}

func matching(p scalar.Pattern) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { s.Pattern = string(p) }
}

func oneOf(values []string) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		for _, value := range values {
			s.Enum = append(s.Enum, value)
		}
	}
}

func each(set func(*jsonschema.Schema)) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { set(s.Items) }
}

func mapOf(key scalar.Pattern, set func(*jsonschema.Schema)) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		s.PropertyNames = &jsonschema.Schema{Pattern: string(key)}
		set(s.AdditionalProperties)
	}
}

func between(least, most uint64) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { s.MinItems, s.MaxItems = &least, &most }
}

func sized(least, most uint64) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { s.MinProperties, s.MaxProperties = &least, &most }
}

func atMost(most uint64) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { s.MaxItems = &most }
}

func atLeastOne(s *jsonschema.Schema) { s.MinItems = new(uint64(1)) }

func listOf(most uint64, p scalar.Pattern) func(*jsonschema.Schema) {
	return both(both(between(1, most), each(matching(p))), unique)
}

func numbered(least, most int) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		s.Minimum, s.Maximum = json.Number(strconv.Itoa(least)), json.Number(strconv.Itoa(most))
	}
}

func byDefault(value any) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) { s.Default = value }
}

func exactlyOne(keys ...string) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		for _, key := range keys {
			s.OneOf = append(s.OneOf, &jsonschema.Schema{Required: []string{key}})
		}
	}
}

// textOr allows a text in place of a mapping that has exactly one of the keys.
func textOr(keys ...string) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		mapping := s.Ref
		s.Ref, s.OneOf = "", []*jsonschema.Schema{{Type: "string"}}
		for _, key := range keys {
			s.OneOf = append(s.OneOf, &jsonschema.Schema{Ref: mapping, Required: []string{key}})
		}
	}
}

// textOrMapping allows a text in place of a mapping.
func textOrMapping(p scalar.Pattern) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		s.OneOf = []*jsonschema.Schema{{Type: "string", Pattern: string(p)}, {Ref: s.Ref}}
		s.Ref = ""
	}
}

// allOrNumberOrList takes the text all, a number from 1 to most, or a list of texts.
func allOrNumberOrList(p scalar.Pattern, most uint64) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		s.Type, s.OneOf = "", []*jsonschema.Schema{
			{Const: "all"},
			{Type: "integer", Minimum: "1", Maximum: json.Number(strconv.FormatUint(most, 10))},
			{Type: "array", Items: &jsonschema.Schema{Type: "string", Pattern: string(p)}, MinItems: new(uint64(1)), MaxItems: &most, UniqueItems: true},
		}
	}
}

func both(first, second func(*jsonschema.Schema)) func(*jsonschema.Schema) {
	return func(s *jsonschema.Schema) {
		first(s)
		second(s)
	}
}

func notEmpty(s *jsonschema.Schema) { s.MinLength = new(uint64(1)) }

func unique(s *jsonschema.Schema) { s.UniqueItems = true }
