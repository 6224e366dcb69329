package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func newUpstream(t *testing.T, mask bool) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	server := httptest.NewServer(&upstream{mask: mask, log: json.NewEncoder(log)})
	t.Cleanup(server.Close)
	return server, log
}

// ask returns the status and the body.
func ask(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer t0ken")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestUpstreamTellsWhatItWasAsked(t *testing.T) {
	server, log := newUpstream(t, false)
	_, body := ask(t, server.URL+"/a%2Fb?c=d")
	var answered, logged seen
	if err := json.Unmarshal([]byte(body), &answered); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(log.Bytes(), &logged); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]seen{"answer": answered, "log": logged} {
		if s.Method != http.MethodGet || s.Path != "/a%2Fb" || s.Query != "c=d" || s.TLS || "http://"+s.Host != server.URL {
			t.Errorf("%s: %+v", name, s)
		}
		if got := s.Headers.Get("Authorization"); got != "Bearer t0ken" {
			t.Errorf("%s: Authorization is %q", name, got)
		}
	}
}

func TestUpstreamMasksAnswersOnly(t *testing.T) {
	server, log := newUpstream(t, true)
	if _, body := ask(t, server.URL); strings.Contains(body, "t0ken") {
		t.Errorf("the answer has the token: %s", body)
	}
	if !strings.Contains(log.String(), "Bearer t0ken") {
		t.Errorf("the log has no token: %s", log)
	}
}

func TestUpstreamStreams(t *testing.T) {
	server, _ := newUpstream(t, false)
	status, body := ask(t, server.URL+"/stream?seconds=1")
	if n := strings.Count(body, "data: event "); status != http.StatusOK || n < 3 || n > 6 {
		t.Errorf("status %d, %d events in a second: %s", status, n, body)
	}
}

func TestUpstreamSendsBytes(t *testing.T) {
	server, _ := newUpstream(t, false)
	for query, want := range map[string]int{"": 1 << 20, "?bytes=0": 0, "?bytes=100001": 100001} {
		if status, body := ask(t, server.URL+"/big"+query); status != http.StatusOK || len(body) != want {
			t.Errorf("/big%s: status %d, %d bytes", query, status, len(body))
		}
	}
	for _, query := range []string{"/big?bytes=-1", "/big?bytes=9999999999", "/big?bytes=x", "/stream?seconds=601"} {
		if status, _ := ask(t, server.URL+query); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", query, status)
		}
	}
}
