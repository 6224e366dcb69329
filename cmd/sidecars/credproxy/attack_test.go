package credproxy

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// ownCredential is what a client sends in every place where servers look for a credential.
const ownCredential = "the-clients-own"

var credentialSpellings = []string{
	"X-AuthToken", "AccessToken", "X-SessionToken", "X-Passphrase", "X-Sig", "X_Api_Key", "x.api.key", "ApiKey", "X-APIKEY", "Auth.Token",
	"CB-ACCESS-SIGN", "X-Amz-Security-Token", "Secret2", "X-Sig-V2", "Private_Token", "Authorization_", "Proxy_Authorization", "JWT", "DPoP",
	"Key", "Password1", "X-Client-Cert",
}

// TestCredentialInAnySpelling reaches the upstream neither as a header nor a trailer, and a request with it as a query parameter not at
// all, over HTTP/1 and HTTP/2.
func TestCredentialInAnySpelling(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	asked := 0
	for proto, client := range clients(t) {
		header, trailer := http.Header{}, http.Header{}
		for _, name := range credentialSpellings {
			for _, spelling := range []string{name, url.QueryEscape("[" + name + "]"), escapeLetters(name)} {
				resp, err := client.Get(b.server.URL + "/a/?" + spelling + "=" + ownCredential)
				if err != nil {
					t.Fatal(err)
				}
				if got := b.whole(resp); got.StatusCode != http.StatusBadRequest {
					t.Errorf("%s, ?%s=: %s", proto, spelling, got.Status)
				}
			}
			header[name] = []string{ownCredential}
			if !strings.EqualFold(name, "Authorization") { // which net/http's client does not send as a trailer
				trailer[name] = []string{ownCredential}
			}
		}
		// Spellings of headers that the proxy decides about.
		for _, name := range []string{
			"X_Forwarded_For", "X_HTTP_Method_Override", "Content_Length", "Transfer_Encoding", "Proxy_Connection", "X.Original.URL",
		} {
			header[name] = []string{ownCredential}
		}
		header.Set("Idempotency-Key", "kept")
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+"/a/?keep=1&pageToken=2",
			io.MultiReader(strings.NewReader("body")))
		if err != nil {
			t.Fatal(err)
		}
		req.Header, req.Trailer = header, trailer
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.whole(resp); got.StatusCode != http.StatusOK || got.Proto != proto {
			t.Fatalf("%s: %s over %s %s", proto, got.Status, got.Proto, got.body)
		}
		seen := u.requests()
		asked++
		if len(seen) != asked {
			t.Fatalf("%s: the upstream saw %d requests, want %d", proto, len(seen), asked)
		}
		r := seen[len(seen)-1]
		if r.URL.RawQuery != "keep=1&pageToken=2" {
			t.Errorf("%s: the query is %q", proto, r.URL.RawQuery)
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, ""), ownCredential) {
				t.Errorf("%s: the upstream saw the client's own %s", proto, name)
			}
		}
		if len(r.Trailer) > 0 {
			t.Errorf("%s: the upstream saw the client's trailer %v", proto, r.Trailer)
		}
		if r.Header.Get("Idempotency-Key") != "kept" || r.Header.Get("Authorization") != "Bearer "+marker {
			t.Errorf("%s: the upstream saw %v", proto, r.Header)
		}
	}
}

// escapeLetters percent-encodes every second byte.
func escapeLetters(name string) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for i, c := range []byte(name) {
		if i%2 == 0 {
			out.WriteByte(c)
			continue
		}
		out.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return out.String()
}

// TestMethodInAnySpelling that would show the token, or is no method, goes nowhere over HTTP/2 either.
func TestMethodInAnySpelling(t *testing.T) {
	u := newUpstream(t, nil)
	b := newBench(t, u.ca(), to("/a/", u.URL))
	client := clients(t)["HTTP/2.0"]
	for method, want := range map[string]int{
		"trace": 405, "Trace": 405, "TRACE": 405, "connect": 405, "cOnnect": 405, "track": 405, "TRACK": 405,
		"get": 400, "Delete": 400, "QUERY": 200,
	} {
		req, err := http.NewRequestWithContext(t.Context(), method, b.server.URL+"/a/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.whole(resp); got.StatusCode != want {
			t.Errorf("%s: %s %s; want %d", method, got.Status, got.body, want)
		}
	}
	for _, r := range u.requests() {
		if r.Method != "QUERY" {
			t.Errorf("the upstream saw %s", r.Method)
		}
	}
}
