package credproxy

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxDecodings is how often a path or query may be percent-encoded. A server that decodes once more than
// we look could be shown another path than the one we checked.
const maxDecodings = 4

const receivePack = "git-receive-pack"

// denial is a request that goes nowhere.
type denial struct {
	status int
	code   string // of the audit log; "" for most
	reason string
	header map[string]string // of the answer; nil for none
}

func (d *denial) with(name, value string) *denial {
	d.header = map[string]string{name: value}
	return d
}

func deny(status int, format string, args ...any) *denial {
	return &denial{status: status, reason: fmt.Sprintf(format, args...)}
}

// target is what a request asks for, as the client wrote it and with its credentials taken out.
type target struct {
	path  string // still encoded
	query string // still encoded
}

// parseTarget checks the path of a request's target and parts it from the query. Nothing is normalised but what follows right behind a
// route's path (see joinSlashes and withoutRepeatedBase): what could mean one thing here and another to the upstream is refused.
func (t *table) parseTarget(uri string) (path, query string, _ *denial) {
	if !strings.HasPrefix(uri, "/") {
		return "", "", deny(http.StatusBadRequest, "only paths are served here, not whole URLs: the upstream comes from the route")
	}
	path, query, _ = strings.Cut(uri, "?")
	path = t.joinSlashes(path)
	if r := t.match(path); r != nil {
		path = r.withoutRepeatedBase(path)
	}
	return path, query, checkPath(path)
}

// joinSlashes makes one slash of those at the end of a route's path, for clients that append /v1/x to a base URL that ends with a
// slash. The path that is left is the only one: it is matched again, judged by the route's rules, and sent.
func (t *table) joinSlashes(path string) string {
	for r := t.match(path); r != nil; r = t.match(path) {
		rest := path[len(r.path):]
		if !strings.HasPrefix(rest, "/") {
			break
		}
		path = r.path + strings.TrimLeft(rest, "/")
	}
	return path
}

func checkPath(path string) *denial {
	if strings.Contains(path, "//") {
		return deny(http.StatusBadRequest, "the path has an empty segment (//)")
	}
	for _, c := range []byte(path) {
		if !validPathByte(c) {
			return deny(http.StatusBadRequest, "the path has a byte that must be percent-encoded: 0x%02x", c)
		}
	}
	readings, err := decodings(path, url.PathUnescape)
	if err != nil {
		return deny(http.StatusBadRequest, "the path: %v", err)
	}
	for _, reading := range readings {
		if d := checkReading(reading); d != nil {
			return d
		}
	}
	return nil
}

// validPathByte follows RFC 3986's pchar, plus the slash and the percent sign.
func validPathByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("/%-._~!$&'()*+,;=:@", c) >= 0
}

// checkReading looks at one of the ways in which a server may read a path. Encoded slashes count as
// slashes here, though they are sent on as they are: npm and GitLab need them inside a name.
func checkReading(path string) *denial {
	for _, c := range []byte(path) {
		if c < ' ' || c == 0x7f || c == '\\' {
			return deny(http.StatusBadRequest, "the path has a control character or a backslash")
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		name, _, _ := strings.Cut(segment, ";") // some servers drop ;parameters
		name = strings.TrimSpace(name)
		if name == "." || name == ".." {
			return deny(http.StatusBadRequest, "the path has a . or .. segment")
		}
		if strings.EqualFold(strings.TrimRight(name, "."), receivePack) {
			return denyPush()
		}
		if d := checkParameters(segment); d != nil {
			return d
		}
	}
	return nil
}

func denyPush() *denial {
	return deny(http.StatusForbidden, "git push is not allowed from inside a bottle: commit, and have a human push from the host")
}

// decodings returns a text and every further reading of it by repeated percent-decoding. Only the first
// decoding may fail: what follows may be a name with a percent sign in it.
func decodings(text string, unescape func(string) (string, error)) ([]string, error) {
	readings := []string{text}
	for range maxDecodings {
		last := readings[len(readings)-1]
		next, err := unescape(last)
		if err != nil && len(readings) == 1 {
			return nil, fmt.Errorf("malformed percent-encoding")
		}
		if err != nil || next == last {
			return readings, nil
		}
		readings = append(readings, next)
	}
	return nil, fmt.Errorf("percent-encoded more than %d times", maxDecodings-1)
}
