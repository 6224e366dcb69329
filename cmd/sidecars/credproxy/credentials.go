package credproxy

import (
	"net/http"
	"net/url"
	"strings"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// cleanQuery returns a query without credential parameters, and without the one that the route sets (own, "" for
// none); the rest stays byte for byte, in its order.
func cleanQuery(query, own string) (string, *denial) {
	if query == "" {
		return "", nil
	}
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return "", deny(http.StatusBadRequest, "the query has a byte that must be percent-encoded: 0x%02x", c)
		}
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		credential, d := checkPair(pair, model.Fold(own))
		if d != nil {
			return "", d
		}
		if !credential {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&"), nil
}

// checkPair reports whether a name=value pair carries a credential in any reading of it. Some servers take
// a semicolon for an ampersand.
func checkPair(pair, own string) (credential bool, _ *denial) {
	readings, err := decodings(pair, url.QueryUnescape)
	if err != nil {
		return false, deny(http.StatusBadRequest, "the query: %v", err)
	}
	for _, reading := range readings {
		for part := range strings.FieldsFuncSeq(reading, func(r rune) bool { return r == '&' || r == ';' }) {
			name, value, _ := strings.Cut(part, "=")
			if strings.EqualFold(strings.TrimSpace(name), "service") && strings.Contains(strings.ToLower(value), receivePack) {
				return false, denyPush()
			}
			credential = credential || model.IsCredentialParameter(name) || own != "" && isOwn(name, own)
		}
	}
	return credential, nil
}

// isOwn reports whether a parameter is read as the one that the route sets, whose name is folded.
func isOwn(name, own string) bool {
	start, _, _ := strings.Cut(name, "[") // token[]=…
	return model.Fold(name) == own || model.Fold(start) == own
}

// checkParameters looks for credentials in the parameters of a path's segment (;jsessionid=…).
func checkParameters(segment string) *denial {
	_, parameters, _ := strings.Cut(segment, ";")
	for parameter := range strings.FieldsFuncSeq(parameters, func(r rune) bool { return r == ';' || r == ',' }) {
		if name, _, _ := strings.Cut(parameter, "="); model.IsCredentialParameter(name) {
			return deny(http.StatusBadRequest, "the path has a parameter that is a credential: %s", oneLine(name))
		}
	}
	return nil
}
