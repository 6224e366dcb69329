package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

func message() Message {
	return Message{
		Event: reconciler.EventProposalNew, Bottle: "dev", ID: "t-abcd", Tool: queue.PipelockBlock, Summary: "allow <b>a.example</b>", Justification: "why\nnot", Time: time.Unix(1e9, 0).UTC(),
	}
}

func TestWebhook(t *testing.T) {
	code, followed := 204, false
	var got Message
	var header http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			followed = true
			return
		}
		header = r.Header
		var err error
		if body, err = io.ReadAll(r.Body); err != nil || json.Unmarshal(body, &got) != nil || r.Method != http.MethodPost || r.URL.Path != "/SECRET" {
			t.Errorf("%s %s: %q, %v", r.Method, r.URL, body, err)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(code)
	}))
	defer server.Close()
	key := []byte("key")
	signed := Webhook(server.URL+"/SECRET", func() ([]byte, error) { return key, nil })
	if err := signed.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(message(), got); diff != "" {
		t.Error(diff)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); header.Get("X-Bottled-Signature") != want || header.Get("Content-Type") != "application/json" {
		t.Errorf("%v, want %s", header, want)
	}
	plain := Webhook(server.URL+"/SECRET", nil)
	for status, permanent := range map[int]bool{302: true, 307: true, 400: true, 404: true, 408: false, 429: false, 500: false, 503: false} {
		code = status
		err := plain.Send(t.Context(), message())
		if err == nil || errors.Is(err, errPermanent) != permanent || !strings.Contains(err.Error(), "it answers ") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if followed || header.Get("X-Bottled-Signature") != "" {
		t.Errorf("followed: %t, %v", followed, header)
	}
	unreadable := errors.New("no such file")
	if err := Webhook(server.URL+"/SECRET", func() ([]byte, error) { return nil, unreadable }).Send(t.Context(), message()); !errors.Is(err, unreadable) {
		t.Errorf("without its secret: %v", err)
	}
	server.Close()
	if err := plain.Send(t.Context(), message()); err == nil || errors.Is(err, errPermanent) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestCheckWebhook(t *testing.T) {
	for address, valid := range map[string]bool{"https://h.example/x": true, "http://127.0.0.1:80": true, "h.example/x": false, "ftp://h": false, "https://": false, "https://u:SECRET@[h": false, "": false} {
		if err := CheckWebhook(address); (err == nil) != valid || err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// script is an executable.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommand(t *testing.T) {
	t.Setenv("BOTTLED_TEST_TOKEN", "secret")
	out := filepath.Join(t.TempDir(), "out")
	c := Command([]string{script(t, "cat > $1; pwd >> $1; env >> $1"), out, "$(x)"})
	if err := c.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	body, rest, _ := strings.Cut(string(text), "\n")
	var got Message
	if err := json.Unmarshal([]byte(body), &got); err != nil || !cmp.Equal(got, message()) || !strings.HasPrefix(rest, "/\n") || strings.Contains(rest, "secret") || !strings.Contains(rest, "PATH=") {
		t.Errorf("%v: %q", err, text)
	}
	for says, words := range map[string][]string{
		" failed: exit status 3, and 7 bytes on stderr": {script(t, "echo SECRET >&2; exit 3")},
		"no such file or directory":                     {"/none"},
	} {
		if err := Command(words).Send(t.Context(), message()); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%v, want %q", err, says)
		}
	}
}

// TestCommandHangs: it is killed with what it has started.
func TestCommandHangs(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begin := time.Now()
	err := Command([]string{script(t, "(sleep 3; echo x > $1) & echo a; wait"), out}).Send(ctx, message())
	if err == nil || !strings.Contains(err.Error(), "was killed") || time.Since(begin) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	time.Sleep(time.Until(begin.Add(3500 * time.Millisecond)))
	if _, err := os.Stat(out); err == nil {
		t.Error("what it has started goes on")
	}
}

func TestDesktop(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	t.Setenv("HOME", out)
	m := message()
	m.Summary += strings.Repeat("ä", 300) + "\x1b"
	if err := Desktop(script(t, `for a; do echo "[$a]"; done > $HOME`)).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out)
	want := "[--app-name=bottled]\n[--]\n[bottled: bottle dev asks]\n[To decide: bottled proposals\nallow &lt;b&gt;a.example&lt;/b&gt;" + strings.Repeat("ä", 178) + "…]\n"
	if err != nil || string(text) != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, string(text)))
	}
	m.Event = reconciler.EventProposalFailed
	if got := desktopArgs(m)[2]; got != "bottled: an approval for bottle dev failed" {
		t.Error(got)
	}
}
