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

func TestUpstreamRefusesOtherStreams(t *testing.T) {
	server, _ := newUpstream(t, false)
	for _, seconds := range []string{"601", "-1", "9999999999999", "x"} {
		if status, _ := ask(t, server.URL+"/stream?seconds="+seconds); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", seconds, status)
		}
	}
}

func TestUpstreamAnswersWithAStatus(t *testing.T) {
	server, _ := newUpstream(t, false)
	for path, want := range map[string]int{"/status/401": 401, "/status/503": 503, "/status/101": 200, "/status/x": 200, "/a/status/401": 200} {
		if status, body := ask(t, server.URL+path); status != want || !strings.Contains(body, path) {
			t.Errorf("%s: status %d, %s", path, status, body)
		}
	}
}
