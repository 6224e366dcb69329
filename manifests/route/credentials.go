package route

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// credentialStems make a name a credential wherever they stand in its folded form. "auth" is one too, unless it begins
// "author": see hasAuth. A stem errs on the side of dropping: an agent's own credential must never reach an upstream.
var credentialStems = byFirst(
	"accessid", "accesskey", "accesssign", "accountkey", "adminkey", "apikey", "apisign", "appkey", "applicationkey", "assertion",
	"bearer",
	"clientcert", "clientkey", "consumerkey", "cookie", "credential",
	"encryptionkey",
	"functionskey",
	"hmac",
	"integrationkey",
	"jwt",
	"licensekey",
	"macaroon", "masterkey",
	"passcode", "passkey", "passphrase", "passw", "privatekey",
	"saml", "secret", "servicekey", "sessionkey", "sharedkey", "signature", "signingkey", "sslclient", "storagekey", "subscriptionkey",
	"token",
	"userkey",
	"writekey",
)

// credentialEnds make a name a credential at its end, before a number or version (X-Sig, sig2, api_sig_v4).
var credentialEnds = []string{"creds", "otp", "pwd", "sessid", "sig"}

// credentialNames are credentials as a whole, behind an "x" and before a number or version. They are common words in
// longer names: Idempotency-Key, Sec-WebSocket-Key, monkey and bypass are no credentials.
var credentialNames = setOf("aspnetsessionid", "cred", "dpop", "jsessionid", "key", "pass", "psw", "pw", "sid", "sign", "userpass")

// plainNames have a stem and are no credentials: positions in a list, amounts, and names of repeated requests.
var plainNames = setOf(
	"clientrequesttoken", "continuationtoken", "idempotencytoken", "maxcompletiontokens", "maxnewtokens", "maxoutputtokens", "maxtokens",
	"nextpagetoken", "nexttoken", "pagetoken", "paginationtoken", "previouspagetoken", "prevpagetoken", "skiptoken", "startingtoken", "starttoken",
	"synctoken",
)

// IsCredential reports whether a header, a query parameter, a trailer or a cookie of this name is taken for a credential of
// the client. All of them are judged by this one rule; a percent-encoded name must be decoded before.
func IsCredential(name string) bool {
	var buffer [64]byte
	folded, ok := appendFolded(buffer[:0], name)
	if !ok {
		if isDisguised(name) {
			return true
		}
		folded, _ = appendFolded(buffer[:0], plainForm(name))
	}
	if isWhole(folded) || endsLikeOne(folded) {
		return true
	}
	return (hasStem(folded) || hasAuth(folded)) && !plainNames[string(folded)]
}

// IsCredentialParameter is IsCredential for query parameters, of which servers read only a part: up to a bracket
// (token[]) or a zero byte.
func IsCredentialParameter(name string) bool {
	if IsCredential(name) {
		return true
	}
	end := strings.IndexAny(name, "[\x00")
	return end >= 0 && IsCredential(name[:end])
}

// byFirst groups names by their first letter.
func byFirst(names ...string) (grouped [utf8.RuneSelf][]string) {
	for _, name := range names {
		grouped[name[0]] = append(grouped[name[0]], name)
	}
	return grouped
}

func hasStem(folded []byte) bool {
	for i, c := range folded {
		for _, stem := range credentialStems[c] {
			if rest := folded[i:]; len(rest) >= len(stem) && string(rest[:len(stem)]) == stem {
				return true
			}
		}
	}
	return false
}

// hasAuth reports whether "auth" stands in a name other than in author, authors or authority.
func hasAuth(folded []byte) bool {
	for {
		at := bytes.Index(folded, []byte("auth"))
		if at < 0 {
			return false
		}
		folded = folded[at+len("auth"):]
		if !bytes.HasPrefix(folded, []byte("or")) || bytes.HasPrefix(folded, []byte("oris")) || bytes.HasPrefix(folded, []byte("oriz")) {
			return true
		}
	}
}

// isWhole reports whether a name is one of credentialNames, as it is or without its first x.
func isWhole(folded []byte) bool {
	name := withoutVersion(folded)
	return credentialNames[string(name)] || len(name) > 0 && name[0] == 'x' && credentialNames[string(name[1:])]
}

func endsLikeOne(folded []byte) bool {
	name := withoutVersion(folded)
	for _, end := range credentialEnds {
		if len(name) >= len(end) && string(name[len(name)-len(end):]) == end {
			return true
		}
	}
	return false
}

// withoutVersion drops a number, and a v before it, at the end of a name.
func withoutVersion(folded []byte) []byte {
	name := bytes.TrimRight(folded, "0123456789")
	if len(name) < len(folded) && len(name) > 0 && name[len(name)-1] == 'v' {
		return name[:len(name)-1]
	}
	return name
}
