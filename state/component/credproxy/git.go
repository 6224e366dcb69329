package credproxy

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state/component"
)

// insteadOf has git use a route for repositories whose URL begins with a prefix.
type insteadOf struct {
	route  route.Route
	prefix string
}

// setGit sets Git's own way of configuration without a file (git-config(1), GIT_CONFIG_COUNT). Whatever way to an upstream a
// repository's URL names, git goes to cred-proxy, with the same path.
func setGit(c component.Context, setup *component.AgentSetup) {
	var declared, added []insteadOf
	for _, r := range routesWith(c, route.RoleGitInsteadOf) {
		first, more := gitPrefixes(r.Upstream)
		for _, prefix := range first {
			declared = append(declared, insteadOf{r, prefix})
		}
		for _, prefix := range more {
			added = append(added, insteadOf{r, prefix})
		}
	}
	for _, r := range routesWith(c, route.RoleGitInsteadOf) {
		for _, prefix := range r.GitURLs {
			declared = append(declared, insteadOf{r, prefix})
		}
	}
	if len(declared) == 0 {
		return
	}
	setInsteadOf(setup.Env, 0, declared)
	setInsteadOf(setup.AddedEnv, len(declared), added)
}

// setInsteadOf sets the variables of configuration entries that follow the first count ones, and their number.
func setInsteadOf(env map[string]string, count int, entries []insteadOf) {
	for _, entry := range entries {
		env[fmt.Sprintf("GIT_CONFIG_KEY_%d", count)] = "url." + urlOf(entry.route) + ".insteadOf"
		env[fmt.Sprintf("GIT_CONFIG_VALUE_%d", count)] = entry.prefix
		count++
	}
	env["GIT_CONFIG_COUNT"] = strconv.Itoa(count)
}

// gitPrefixes are the prefixes of URLs that lead to an upstream: its own, the usual ones of SSH, and more that people, forges and
// package managers write. Git compares them literally (url.<base>.insteadOf), so that users, ports and upper case each need one.
func gitPrefixes(upstream string) (first, more []string) {
	own := strings.TrimSuffix(upstream, "/") + "/"
	u, err := url.Parse(own)
	if err != nil {
		return []string{own}, nil
	}
	host, path := u.Hostname(), strings.TrimPrefix(u.Path, "/")
	first = []string{own, "git@" + host + ":" + path, "ssh://git@" + host + "/" + path}
	more = []string{
		u.Scheme + "://git@" + u.Host + "/" + path, "ssh://" + host + "/" + path, "ssh://git@" + host + ":22/" + path,
		"git+ssh://git@" + host + "/" + path, "ssh+git://git@" + host + "/" + path, "git://" + host + "/" + path, host + ":" + path,
	}
	switch {
	case u.Port() != "":
	case u.Scheme == "https":
		more = append(more, "https://"+host+":443/"+path, "https://git@"+host+":443/"+path, "http://"+host+"/"+path)
	default:
		more = append(more, "http://"+host+":80/"+path)
	}
	if path != "" {
		more = append(more, "git@"+host+":/"+path, host+":/"+path)
	}
	return first, more
}
