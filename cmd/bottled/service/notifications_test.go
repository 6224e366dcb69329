package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
)

func TestNotifyOptions(t *testing.T) {
	dir := t.TempDir()
	secret, open, short := filepath.Join(dir, "secret"), filepath.Join(dir, "open"), filepath.Join(dir, "short")
	if err := errors.Join(os.WriteFile(secret, []byte("0123456789abcdef\n"), 0o600), os.WriteFile(open, []byte("0123456789abcdef"), 0o600), os.Chmod(open, 0o640), os.WriteFile(short, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	const hook = "https://hooks.example/SECRET"
	for _, c := range []struct {
		o        NotifyOptions
		channels string
		says     string
	}{
		{},
		{o: NotifyOptions{Webhook: hook, SecretFile: secret, Command: "/bin/true x", Desktop: true}, channels: "webhook command "},
		{o: NotifyOptions{Webhook: hook}, channels: "webhook "},
		{o: NotifyOptions{Webhook: "hooks.example/SECRET"}, says: "--notify-webhook: it is not a URL"},
		{o: NotifyOptions{Webhook: hook, SecretFile: open}, says: "can be read or written by others (mode 0640): chmod 600 " + open},
		{o: NotifyOptions{Webhook: hook, SecretFile: short}, says: "at least 16 characters"},
		{o: NotifyOptions{Webhook: hook, SecretFile: dir + "/none"}, says: "no such file"},
		{o: NotifyOptions{Command: "true"}, says: "absolute path"},
		{o: NotifyOptions{Command: " "}, says: "absolute path"},
		{o: NotifyOptions{Command: "/none/x"}, says: "no such file"},
	} {
		var log bytes.Buffer
		all, err := c.o.channels(zerolog.New(&log))
		names := ""
		for _, channel := range all {
			names += channel.Name + " "
		}
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "SECRET")) || err == nil && names != c.channels {
			t.Errorf("%+v: %q, %v", c.o, names, err)
		}
		if c.o.Desktop != strings.Contains(log.String(), "install notify-send") {
			t.Errorf("%+v logs %s", c.o, &log)
		}
	}
	if err := os.WriteFile(dir+"/notify-send", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if all, err := (NotifyOptions{Desktop: true}).channels(zerolog.Nop()); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}

func TestReadPrivateFile(t *testing.T) {
	dir := t.TempDir()
	pipe, tokens := filepath.Join(dir, "pipe"), filepath.Join(dir, "tokens")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(tokens, []byte("alice 0123456789abcdef0123456789abcdef\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if all, err := readTokens(tokens); err != nil || len(all) != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if err := os.WriteFile(dir+"/large", make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.WriteFile(dir+"/theirs", nil, 0o600), os.Chown(dir+"/theirs", 54321, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := readPrivateFile(dir + "/theirs"); err == nil || !strings.Contains(err.Error(), "belongs to another user") {
			t.Errorf("%v", err)
		}
	}
	for path, says := range map[string]string{pipe: "no regular file", dir: "no regular file", dir + "/large": "more than", dir + "/none": "no such file"} {
		if _, err := readPrivateFile(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := os.WriteFile(tokens, []byte("alice\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readTokens(tokens); err == nil || err.Error() != "api-tokens-file "+tokens+": line 1: write NAME TOKEN" {
		t.Errorf("%v", err)
	}
}

func TestWithoutPath(t *testing.T) {
	for address, want := range map[string]string{
		"": "", "https://h.example": "https://h.example", "https://h.example/": "https://h.example/", "https://h.example/SECRET": "https://h.example/…",
		"https://h.example?k=SECRET": "https://h.example/…", "https://u:SECRET@h.example": "https://h.example/…", "SECRET": "(not shown)", "://SECRET": "(not shown)",
	} {
		if got := withoutPath(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}

func TestSecretKind(t *testing.T) {
	for text, secret := range map[string]bool{
		"allow registry.npmjs.org:443": false, "I need the package left-pad, because the build imports it": false, "": false,
		"key ghp_0123456789abcdefghijABCDEFGHIJ012345": true, "Z2hwXzAxMjM0NTY3ODlhYmNkZWZnaGlqQUJDREVGR0hJSjAxMjM0NQ==": true,
	} {
		if got := secretKind(text); (got != "") != secret {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestNotifier: a proposal reaches a webhook.
func TestNotifier(t *testing.T) {
	bodies := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies <- string(body)
	}))
	defer server.Close()
	channels, err := NotifyOptions{Webhook: server.URL}.channels(zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	source := &apitest.Source{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := (&Service{Log: zerolog.Nop()}).startNotifier(ctx, source, channels)
	source.SetProposals(reconciler.Review{Proposal: reconciler.Proposal{ID: "t-abcd", Bottle: "dev", State: reconciler.ProposalWaiting, Summary: "allow a.example"}})
	select {
	case body := <-bodies:
		if !strings.Contains(body, `"event":"ProposalNew","bottle":"dev","id":"t-abcd"`) {
			t.Error(body)
		}
	case <-time.After(time.Minute):
		t.Error("nothing came")
	}
	cancel()
	<-ended
}
