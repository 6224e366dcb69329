package route

import (
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// credentials are names that real APIs, proxies and clients use for credentials, and disguises of them.
var credentials = []string{
	"Authorization", "Proxy-Authorization", "X-Authorization", "X-Original-Authorization", "Grpc-Metadata-Authorization",
	"X-Ms-Authorization-Auxiliary", "Auth", "X-Auth", "X-Auth-Token", "X-AuthToken", "X-Auth-Key", "X-Auth-User", "X-Auth-Email", "XAuth",
	"X-OAuth", "OAuth_Token", "oauth_signature", "oauth_consumer_key", "Authentication", "Authorisation", "authuser", "X-Authenticated-User",
	"AccessToken", "Access-Token", "access_token", "access.token", "access token", "X-Access-Token", "X-SessionToken", "session-token",
	"X-Amz-Security-Token", "X-Amz-Credential", "X-Amz-Signature", "AWSAccessKeyId", "GoogleAccessId", "X-Goog-Signature", "X-Goog-Api-Key",
	"X-Goog-Iam-Authorization-Token", "Private-Token", "PRIVATE_TOKEN", "X-GitLab-Token", "Job-Token", "Deploy-Token", "X-Vault-Token",
	"X-Consul-Token", "X-Plex-Token", "X-Figma-Token", "Circle-Token", "X-TrackerToken", "X-Shopify-Access-Token", "X-CSRF-Token",
	"X-XSRF-TOKEN", "token", "tokens", "token2", "user_token", "id_token", "refresh_token", "personal_access_token", "X-Request-Token",
	"client_token", "X-Api-Key", "X-ApiKey", "apikey", "api.key", "KC-API-KEY", "X-RapidAPI-Key", "X-Typesense-API-Key", "api_key_id",
	"X-Functions-Key", "Ocp-Apim-Subscription-Key", "X-Parse-Master-Key", "X-Parse-Client-Key", "DD-APPLICATION-KEY", "app_key",
	"CB-ACCESS-KEY", "CB-ACCESS-SIGN", "CB-ACCESS-PASSPHRASE", "OK-ACCESS-SIGN", "API-Sign", "X-Sign", "sign", "X-User-Key", "writeKey",
	"X-Admin-Key", "private_key", "signing-key", "shared_key", "X-Secret", "X-Client-Secret", "client_secret", "api_secret", "app_secret",
	"X-Passphrase", "passphrase", "Password", "X-Password", "passwd", "user[password]", "passcode", "passkey", "pass", "X-Pass", "pwd",
	"user_pwd", "pw", "X-Sig", "sig", "sig2", "X-Sig-V2", "api_sig", "signature", "Signature", "Signature-Input", "X-Hub-Signature-256",
	"hmac", "X-Hmac", "jwt", "X-JWT", "X-Jwt-Assertion", "client_assertion", "SAMLResponse", "bearer", "X-Bearer", "Cookie", "Cookie2",
	"X-Cookie", "credential", "credentials", "X-Credentials", "creds", "key", "Key", "X-Key", "key1", "k-e-y", "DPoP", "X-GitHub-OTP",
	"npm-otp", "otp", "PHPSESSID", "JSESSIONID", "ASP.NET_SessionId", "sid", "_sid", "X-Client-Cert", "X-SSL-Client-Cert", "SSL_CLIENT_VERIFY",
	"Macaroons", "ｔｏｋｅｎ", "ⓣoken", "tökén", "t\u200boken", "to\u0301ken", "to\u043aen", "t\u043eken", "tο\u006ben", "to\u212aen", "ſig",
	"\xc1\xb4oken", "API\u2010KEY", "api\u00a0key",
}

// plain are names that look like a credential's and must pass.
var plain = []string{
	"Accept", "Accept-Language", "Access-Control-Request-Headers", "Access-Control-Request-Method", "Anthropic-Beta", "Anthropic-Version",
	"Anthropic-Dangerous-Direct-Browser-Access", "Author", "X-Author", "authors", "author_email", "co-author", "authority", "X-Authority",
	"Cache-Control", "Content-Type", "Content-Digest", "Digest", "Git-Protocol", "Grpc-Timeout", "Idempotency-Key", "X-Idempotency-Key",
	"If-None-Match", "Last-Event-Id", "Mcp-Session-Id", "Mcp-Protocol-Version", "session_id", "Npm-Command", "Npm-Session", "OpenAI-Organization",
	"OpenAI-Beta", "Sec-WebSocket-Key", "Sec-Fetch-Mode", "Surrogate-Key", "Traceparent", "User-Agent", "X-Amz-Content-Sha256", "X-Amz-Date",
	"X-Amz-Target", "X-App", "X-GitHub-Api-Version", "X-Goog-Api-Client", "X-Goog-User-Project", "X-Request-Id", "X-Stainless-Retry-Count",
	"assignee", "bypass", "compass", "design", "direction", "fields[key]", "hotpink", "insight", "keyword", "keywords", "keys", "max_tokens",
	"monkey", "nextToken", "next_page_token", "page[token]", "page-token", "pageToken", "partition_key", "passed", "passenger", "per_page",
	"primaryKey", "projectKey", "public_key", "q", "ref", "signal", "sort", "sort_key", "$skiptoken", "sync_token", "continuation-token",
	"ClientRequestToken", "keep", "名前", "имя", "ключ", "",
}

func TestCredentialUnderAnyNameIsRecognised(t *testing.T) {
	for _, name := range credentials {
		if !IsCredentialParameter(name) {
			t.Errorf("%q passes; it is a credential", name)
		}
	}
	for _, name := range plain {
		if IsCredentialParameter(name) {
			t.Errorf("%q is taken for a credential", name)
		}
	}
}

func TestCredentialCutByTheServerIsRecognised(t *testing.T) {
	for _, name := range []string{"key[]", "key[0]", "key[", "sig[a]", "key\x00foo", "sid\x00[x"} {
		if !IsCredentialParameter(name) {
			t.Errorf("%q passes; servers read its beginning", name)
		}
	}
}

func TestReservedMethodInAnySpelling(t *testing.T) {
	for _, method := range []string{"TRACE", "trace", "Trace", "tRaCe", "TRA-CE", "CONNECT", "connect", "Connect", "TRACK", "track", "con_nect"} {
		if !IsReservedMethod(method) {
			t.Errorf("%q is not refused", method)
		}
	}
	for _, method := range []string{"get", "Get", "gET", "", "-GET", "GET1", "G ET", "G_ET", "GÉT", strings.Repeat("A", 33)} {
		if IsMethod(method) {
			t.Errorf("%q passes as a method", method)
		}
	}
	for _, method := range []string{"GET", "POST", "PROPFIND", "M-SEARCH", "VERSION-CONTROL", "QUERY"} {
		if !IsMethod(method) || IsReservedMethod(method) {
			t.Errorf("%q is refused", method)
		}
	}
}

func TestReservedHeaderInAnySpelling(t *testing.T) {
	for _, name := range []string{"Host", "content-length", "Content_Length", "contentlength", "Trans-Fer-Encoding", "TE", "HTTP2-Settings", "User.Agent"} {
		if !IsReservedHeader(name) {
			t.Errorf("%q may carry a token", name)
		}
	}
	for _, name := range []string{"Authorization", "x-api-key", "Cookie", "X-Host"} {
		if IsReservedHeader(name) {
			t.Errorf("%q may not carry a token", name)
		}
	}
}

// FuzzFolding: folding is idempotent, a judgement does not depend on the spelling, and no spelling of a listed name passes.
func FuzzFolding(f *testing.F) {
	for i, name := range append(credentials, plain...) {
		f.Add(name, uint64(i)*0x9e3779b97f4a7c15)
	}
	f.Fuzz(func(t *testing.T, name string, choices uint64) {
		folded := Fold(name)
		if again := Fold(folded); again != folded {
			t.Errorf("%q folds to %q, and that to %q", name, folded, again)
		}
		if IsCredential(folded) && !IsCredential(name) {
			t.Errorf("%q passes, and %q is a credential", name, folded)
		}
		spelling := respell(name, choices)
		if utf8.ValidString(name) && Fold(spelling) != folded {
			t.Errorf("%q folds to %q, and its spelling %q to %q", name, folded, spelling, Fold(spelling))
		}
		if IsCredential(name) && isASCII(name) && !IsCredential(spelling) {
			t.Errorf("%q is a credential, and its spelling %q passes", name, spelling)
		}
		listed := credentials[choices%uint64(len(credentials))]
		if spelling := respell(listed, choices>>8); !IsCredentialParameter(spelling) {
			t.Errorf("%q, a spelling of %q, passes", spelling, listed)
		}
		if decoded, err := url.QueryUnescape(escapeAll(spelling)); err != nil || IsCredential(decoded) != IsCredential(spelling) {
			t.Errorf("%q: percent-encoding changes the judgement: %v", spelling, err)
		}
	})
}

// respell changes the case of ASCII letters and inserts separators, as the bits of choices say.
func respell(name string, choices uint64) string {
	var out strings.Builder
	for i, r := range name {
		bits := choices >> (i * 3 % 61)
		if utf8.RuneLen(r) < 0 || r == utf8.RuneError {
			out.WriteString(name[i:]) // not UTF-8: left alone
			break
		}
		text := string(r)
		if r < utf8.RuneSelf && bits&1 != 0 {
			text = strings.ToUpper(text)
		} else if r < utf8.RuneSelf && bits&2 != 0 {
			text = strings.ToLower(text)
		}
		out.WriteString(text)
		if bits&4 != 0 && r < utf8.RuneSelf {
			out.WriteByte("-_."[i%3])
		}
	}
	return out.String()
}

func escapeAll(text string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range []byte(text) {
		out.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return out.String()
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
