package pipelock

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/state/component"
)

// loopback are the names and addresses that clients reach without a proxy.
var loopback = []string{"localhost", "127.0.0.1", "::1"}

// forAgent sends every HTTP client of the agent to pipelock, but for the components that are asked directly.
//
// Most programs read the usual variables: curl, wget, git, pip, uv, Go, Cargo and rustup, Ruby, PHP's Composer, Deno, .NET, apt; gRPC
// and gcloud, which have variables of their own, fall back to these, and gcloud's own would disable NO_PROXY
// (https://cloud.google.com/sdk/docs/proxy-settings, https://grpc.github.io/grpc/core/md_doc_core_default_http_proxy_mapper.html).
func forAgent(c component.Context) (component.AgentSetup, error) {
	names := directNames(c)
	proxy, direct := contract.Pipelock.URL(), strings.Join(slices.Concat(loopback, names), ",")
	return component.AgentSetup{
		Env: map[string]string{
			"HTTP_PROXY": proxy, "http_proxy": proxy, "HTTPS_PROXY": proxy, "https_proxy": proxy, "NO_PROXY": direct, "no_proxy": direct,
		},
		AddedEnv: map[string]string{
			// Node's fetch and http (22.21, 24 and later) read the variables only if told to (https://nodejs.org/api/cli.html).
			"NODE_USE_ENV_PROXY": "1",
			// Yarn since version 2 reads no others (https://yarnpkg.com/configuration/yarnrc), and ends at a YARN_… that it doesn't know.
			"YARN_HTTP_PROXY": proxy, "YARN_HTTPS_PROXY": proxy,
			"JAVA_TOOL_OPTIONS": javaOptions(names),
		},
	}, nil
}

// directNames are the names that the agent reaches without pipelock: components that are asked directly, and names of the manifest's, which
// pipelock does not know.
func directNames(c component.Context) []string {
	names := contract.DirectNames()
	for _, k := range c.Kinds {
		if k.Direct && !contract.IsName(k.Name) { // a service
			names = append(names, k.Name)
		}
	}
	if a := c.Manifest.Spec.Agent; a != nil {
		names = append(names, slices.Sorted(maps.Keys(a.ExtraHosts))...)
	}
	return names
}

// javaOptions are system properties, since Java reads no variables for its proxy. Every virtual machine reads them in
// JAVA_TOOL_OPTIONS, also in the tools that Maven and Gradle start, and says so in a line on stderr. Maven 3.9 and later needs one more
// to heed them (https://maven.apache.org/resolver/configuration.html).
func javaOptions(names []string) string {
	direct := strings.Join(append([]string{"localhost", "127.*", "[::1]"}, names...), "|")
	host, port := contract.Pipelock.Name, contract.Pipelock.Port
	return fmt.Sprintf("-Dhttp.proxyHost=%s -Dhttp.proxyPort=%d -Dhttps.proxyHost=%[1]s -Dhttps.proxyPort=%[2]d -Dhttp.nonProxyHosts=%s "+
		"-Daether.connector.http.useSystemProperties=true", host, port, direct)
}
