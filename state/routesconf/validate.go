package routesconf

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The roles of a route, as in the manifest.
const (
	RoleAnthropicBaseURL = "anthropic-base-url"
	RoleNPMRegistry      = "npm-registry"
	RoleGitInsteadOf     = "git-insteadof"
	RoleTeaLogin         = "tea-login"
)

var (
	knownRoles = []string{RoleAnthropicBaseURL, RoleGitInsteadOf, RoleNPMRegistry, RoleTeaLogin}
	// singleRoles set one thing in the agent, so that two routes can't both have them.
	singleRoles = []string{RoleAnthropicBaseURL, RoleNPMRegistry}

	// A path has no percent signs: it is compared with the request's raw path, byte by byte.
	pathPattern   = regexp.MustCompile(`^/(?:[A-Za-z0-9._~@+-]+/)*$`)
	rulePattern   = regexp.MustCompile(`^(?:/(?:[A-Za-z0-9._~@+:=,!$&'()-]+|\*))+/?$`)
	headerPattern = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9-]{0,62}[A-Za-z0-9])?$`)
	queryPattern  = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,63})$`)
	schemePattern = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
	slotPattern   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	hostPattern   = regexp.MustCompile(`^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?$`)
	ipv6Pattern   = regexp.MustCompile(`^[0-9A-Fa-f:.]+$`)
)

func (f File) validate() error {
	if len(f.Routes) > MaxRoutes {
		return fmt.Errorf("%d routes are more than the %d allowed", len(f.Routes), MaxRoutes)
	}
	var problems []error
	paths, roles := map[string]bool{}, map[string]string{}
	for _, r := range f.Routes {
		name := fmt.Sprintf("route %q", r.Path)
		for _, err := range r.problems() {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
		}
		if paths[r.Path] {
			problems = append(problems, fmt.Errorf("%s: another route has the same path", name))
		}
		paths[r.Path] = true
		for _, role := range r.Roles {
			if other, taken := roles[role]; taken && other != r.Path && slices.Contains(singleRoles, role) {
				problems = append(problems, fmt.Errorf("%s: only one route may have the role %q; %q has it too", name, role, other))
			}
			roles[role] = r.Path
		}
	}
	return errors.Join(problems...)
}

func (r Route) problems() []error {
	problems := []error{checkPath(r.Path), r.checkUpstream(), r.checkAuth(), checkMethods(r.Methods), r.Paths.check(), r.RateLimit.check()}
	if !slotPattern.MatchString(r.TokenSlot) {
		problems = append(problems, fmt.Errorf("token_slot %q is not a file name of letters, digits, dots, dashes and underscores", r.TokenSlot))
	}
	if r.MaxRequestBody < 0 {
		problems = append(problems, fmt.Errorf("max_request_body %d is negative", r.MaxRequestBody))
	}
	for i, role := range r.Roles {
		if !slices.Contains(knownRoles, role) {
			problems = append(problems, fmt.Errorf("role %q is not one of %s", role, strings.Join(knownRoles, ", ")))
		}
		if slices.Contains(r.Roles[:i], role) {
			problems = append(problems, fmt.Errorf("role %q is given twice", role))
		}
	}
	return slices.DeleteFunc(problems, func(err error) bool { return err == nil })
}

func checkPath(path string) error {
	if !pathPattern.MatchString(path) {
		return errors.New("path must begin and end with a slash and have only letters, digits and ._~@+- between slashes")
	}
	return checkDots(path)
}

func checkDots(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "." || segment == ".." {
			return fmt.Errorf("path %q must not have . or .. segments", path)
		}
	}
	return nil
}

func (r Route) checkUpstream() error {
	u, err := url.Parse(r.Upstream)
	if err != nil {
		// url.Error quotes the whole URL, which may hold a password.
		return errors.New("upstream is not a URL")
	}
	switch {
	case u.User != nil:
		return errors.New("upstream must not hold credentials; the token comes from token_slot")
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("upstream %q must begin with https://", r.Upstream)
	case u.Scheme == "http" && !r.InsecureUpstream:
		return fmt.Errorf("upstream %q would get the token in clear; use https or set insecure_upstream", r.Upstream)
	case u.RawQuery != "" || u.ForceQuery || strings.Contains(r.Upstream, "#"):
		return fmt.Errorf("upstream %q must not have a query or a fragment", r.Upstream)
	case !validHost(u):
		return fmt.Errorf("upstream %q has no valid host (write international names in their xn-- form)", r.Upstream)
	}
	return checkUpstreamPath(u)
}

func validHost(u *url.URL) bool {
	host := u.Hostname()
	if len(host) > 253 || strings.Contains(host, "..") {
		return false
	}
	if strings.HasPrefix(u.Host, "[") {
		return ipv6Pattern.MatchString(host) && validPort(u)
	}
	return hostPattern.MatchString(host) && validPort(u)
}

func validPort(u *url.URL) bool {
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

// checkUpstreamPath keeps out what would make it unclear which path a request is sent to.
func checkUpstreamPath(u *url.URL) error {
	if strings.Contains(u.Path, "//") || strings.ContainsAny(u.Path, "\\;") {
		return fmt.Errorf("upstream path %q must not have empty segments, backslashes or semicolons", u.Path)
	}
	for _, c := range []byte(u.Path) {
		if c < ' ' || c == 0x7f {
			return errors.New("upstream path must not have control characters")
		}
	}
	return checkDots(u.Path)
}
