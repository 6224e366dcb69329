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

// plainHeaders are common ones that are known to be none, so that they need no closer look.
var plainHeaders = setOf("Accept", "Accept-Language", "Anthropic-Beta", "Anthropic-Version", "Cache-Control", "Content-Encoding", "Content-Length",
	"Content-Type", "If-Modified-Since", "If-None-Match", "Range", "User-Agent")

// credentialParameters are query parameters that carry credentials, folded by foldName. "key" and "token" are
// among them, which some APIs use otherwise: an agent's own credential must never reach an upstream.
var credentialParameters = setOf(
	"accesskey", "accesstoken", "apikey", "apisecret", "apitoken", "appkey", "appsecret", "auth", "authorization", "authtoken", "awsaccesskeyid",
	"bearer", "bearertoken", "clientassertion", "clientsecret", "consumerkey", "consumersecret", "credential", "credentials", "googleaccessid",
	"idtoken", "jobtoken", "jwt", "key", "oauthconsumerkey", "oauthsignature", "oauthtoken", "passphrase", "passwd", "password",
	"personalaccesstoken", "privatetoken", "pwd", "refreshtoken", "secret", "sessiontoken", "sig", "signature", "subscriptionkey", "token", "usertoken",
	"xamzcredential", "xamzsecuritytoken", "xamzsignature", "xapikey", "xauthtoken", "xgoogcredential", "xgoogsignature",
)

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
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
		credential, d := checkPair(pair, foldName(own))
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
			folded := parameterName(name)
			if credentialParameters[folded] || own != "" && folded == own {
				credential = true
			}
		}
	}
	return credential, nil
}

func parameterName(name string) string {
	name, _, _ = strings.Cut(strings.TrimSpace(name), "[") // token[]=…
	return foldName(name)
}

// foldName makes one of the ways in which servers tell names apart: few look at the case, and some take dashes,
// dots and underscores for each other.
func foldName(name string) string { return nameFolder.Replace(strings.ToLower(name)) }

var nameFolder = strings.NewReplacer("-", "", "_", "", ".", "")
