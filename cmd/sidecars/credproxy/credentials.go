package credproxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// credentialWords make a header a credential when they are one of its dash-separated words
// (X-Auth-Token, PRIVATE-TOKEN, X-GitLab-Token, Proxy-Authorization). Going by words instead of by a list
// of names errs on the side of dropping: an agent's own credential must never reach an upstream.
var credentialWords = []string{
	"apikey", "auth", "authentication", "authorization", "cookie", "cookie2", "credential", "credentials",
	"jwt", "passwd", "password", "secret", "token",
}

// keyWords make a header a credential when "key" follows them (X-Api-Key). Not every key is one:
// Idempotency-Key.
var keyWords = []string{"access", "api", "app", "auth", "functions", "master", "private", "secret", "subscription"}

// confusingHeaders name another target or client than the request line and the connection do.
var confusingHeaders = []string{"X-Original-Url", "X-Rewrite-Url", "X-Real-Ip", "Expect"}

// credentialParameters are query parameters that carry credentials, compared without case, dashes and
// underscores.
var credentialParameters = []string{
	"accesskey", "accesstoken", "apikey", "apitoken", "auth", "authorization", "authtoken", "bearertoken",
	"clientsecret", "credential", "credentials", "idtoken", "jobtoken", "jwt", "key", "oauthtoken", "passwd",
	"password", "personalaccesstoken", "privatetoken", "refreshtoken", "secret", "sessiontoken", "token",
	"xamzcredential", "xamzsecuritytoken", "xamzsignature", "xapikey", "xauthtoken",
}

// stripCredentials removes from a request's header what the client could identify itself with.
func stripCredentials(h http.Header) {
	for name := range h {
		if isCredential(name) {
			delete(h, name)
		}
	}
	for _, name := range confusingHeaders {
		h.Del(name)
	}
}

func isCredential(header string) bool {
	words := strings.FieldsFunc(strings.ToLower(header), func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	for i, word := range words {
		if slices.Contains(credentialWords, word) {
			return true
		}
		if word == "key" && i > 0 && slices.Contains(keyWords, words[i-1]) {
			return true
		}
	}
	return false
}

// cleanQuery returns a query without credential parameters; the rest stays byte for byte, in its order.
func cleanQuery(query string) (string, *denial) {
	for _, c := range []byte(query) {
		if c <= ' ' || c >= 0x7f || c == '#' {
			return "", deny(http.StatusBadRequest, "the query has a byte that must be percent-encoded: 0x%02x", c)
		}
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		credential, d := checkPair(pair)
		if d != nil {
			return "", d
		}
		if !credential {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&"), nil
}

// checkPair tells whether a name=value pair carries a credential in any reading of it. Some servers take
// a semicolon for an ampersand.
func checkPair(pair string) (credential bool, _ *denial) {
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
			if slices.Contains(credentialParameters, parameterName(name)) {
				credential = true
			}
		}
	}
	return credential, nil
}

func parameterName(name string) string {
	name, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(name)), "[") // token[]=…
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(name)
}
