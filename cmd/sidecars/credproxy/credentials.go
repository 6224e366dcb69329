package credproxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	model "github.com/bot-bottle/bottled/manifests/route"
)

// maxShownName is how much of a parameter's name a refusal shows, in bytes.
const maxShownName = 64

// queryRules are what of a client's query a route sends on.
type queryRules struct {
	own   string   // the parameter that the route sets; "" for none
	allow []string // parameters that are sent although they are named like credentials
}

// clean returns a query without the parameter that the route sets, and without placeholders; the rest stays byte for byte, in its order.
// A query with any other credential is refused: without it the request could mean more (delete all caches instead of those with a key).
func (q queryRules) clean(query string) (string, *denial) {
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
		keep, d := q.judge(pair)
		if d != nil {
			return "", d
		}
		if keep {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&"), nil
}

// judge reports whether a name=value pair is sent on, in every reading of it. Some servers take a semicolon for an ampersand.
func (q queryRules) judge(pair string) (keep bool, _ *denial) {
	readings, err := decodings(pair, url.QueryUnescape)
	if err != nil {
		return false, deny(http.StatusBadRequest, "the query: %v", err)
	}
	keep = true
	for _, reading := range readings {
		for part := range strings.FieldsFuncSeq(reading, func(r rune) bool { return r == '&' || r == ';' }) {
			name, value, _ := strings.Cut(part, "=")
			own := model.IsParameter(name, q.own)
			switch {
			case strings.EqualFold(strings.TrimSpace(name), "service") && strings.Contains(strings.ToLower(value), receivePack):
				return false, denyPush()
			case !own && (!model.IsCredentialParameter(name) || slices.Contains(q.allow, name)):
			case part == reading && (own || value == contract.Placeholder):
				keep = false // the whole pair
			default:
				return false, denyParameter(name)
			}
		}
	}
	return keep, nil
}

func denyParameter(name string) *denial {
	name = oneLine(name)
	if len(name) > maxShownName {
		name = strings.ToValidUTF8(name[:maxShownName], "") + "…"
	}
	return deny(http.StatusBadRequest, "the query parameter %s is named like a credential, and cred-proxy sends none of a client's; "+
		"if it is none, add it to allowQuery of the route in the bottle's manifest", name)
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
