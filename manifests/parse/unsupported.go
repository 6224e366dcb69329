package parse

import "strings"

// unsupported maps keys that people know from compose files and Kubernetes to what to do instead. A key may be qualified with the field
// around it.
var unsupported = map[string]string{
	"envfrom":            "write the files into spec.agent.envFile, and secrets as tokens of spec.credProxy.routes",
	"workingdir":         "write it as spec.agent.workdir",
	"runasuser":          "write it as spec.agent.user",
	"securitycontext":    "write the user as spec.agent.user; agents run without privileges",
	"stdinopen":          "write it as spec.agent.stdin",
	"gpu":                "write it as spec.agent.gpus",
	"entrypoint":         "write the program and all its arguments as spec.agent.command",
	"args":               "write the program and all its arguments as spec.agent.command",
	"ports":              "write it as spec.agent.ports, a list like [{container: 3000, host: 127.0.0.1:3000}]",
	"sidecars":           "declare what the agent needs beside it, like a database, in spec.services",
	"dns":                "not supported; names are resolved by pipelock, on the host's side",
	"networks":           "not supported; a bottle has its own networks, and spec.egress says what it reaches",
	"privileged":         "not supported; agents run without privileges",
	"capadd":             "not supported; agents run without privileges",
	"secrets":            "write a token's variable or file into a route: spec.credProxy.routes[].token",
	"expires":            "not supported yet; remove the file when the bottle is to go",
	"expiresat":          "not supported yet; remove the file when the bottle is to go",
	"ttl":                "not supported yet; remove the file when the bottle is to go",
	"schedule":           "not supported yet; write and remove the file from a timer",
	"extends":            "not supported yet; generate the manifests, with yq or jsonnet for instance",
	"template":           "not supported yet; generate the manifests, with yq or jsonnet for instance",
	"build.args":         "not supported yet; write the value into the Dockerfile (ARG NAME=value)",
	"build.target":       "not supported yet; keep the wanted stage as the last one of the Dockerfile, or in a Dockerfile of its own",
	"build.secrets":      "not supported; RUN steps see nothing but the context",
	"resources.gpus":     "write it as spec.agent.gpus",
	"resources.disk":     "not supported; limit the file system that the engine or the mounts are on",
	"resources.limits":   "write memory, cpus and pids directly below resources",
	"resources.requests": "write memory, cpus and pids directly below resources; nothing is reserved",
}

// splitAdvice returns the reason and the fix of a problem about such a key.
func splitAdvice(advice string) (reason, fix string) {
	reason, fix, _ = strings.Cut(advice, "; ")
	switch {
	case !strings.HasPrefix(reason, "not supported"):
		return "unknown key", advice
	case fix == "":
		return "it is " + reason, "remove it"
	}
	return "it is " + reason, fix
}

// unsupportedFix returns the advice about a key that bottled does not have; "" if there is none.
func unsupportedFix(parent, key string) string {
	key = strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(key))
	if fix := unsupported[parent[strings.LastIndexByte(parent, '.')+1:]+"."+key]; fix != "" {
		return fix
	}
	return unsupported[key]
}
