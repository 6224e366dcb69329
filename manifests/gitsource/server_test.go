package gitsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestServerDownAndBack(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	second := r.commit("second", map[string]string{"a": "2"})
	hangUp := func(w http.ResponseWriter, _ *http.Request) bool {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return true
		}
		conn.Close()
		return true
	}
	r.intercept(hangUp)
	pullFails(t, s, "EOF")
	r.intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		http.Error(w, "maintenance", http.StatusServiceUnavailable)
		return true
	})
	pullFails(t, s, "the server answered 503 (maintenance): bottled tries again with the next pull")
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool { // the answer breaks off in the middle of the pack
		if q.Method == http.MethodGet {
			return false
		}
		fmt.Fprint(w, brokenPack(second))
		return true
	})
	pullFails(t, s, "fetch commit "+second)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	r.intercept(nil)
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})

	refused := open(t, Options{URL: "http://127.0.0.1:1/x"})
	pullFails(t, refused, "connection refused")
}

func TestSlowServer(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	dir := t.TempDir()
	s := open(t, Options{URL: r.url, Dir: dir})
	pull(t, s, true)
	second := r.commit("second", map[string]string{"a": "2"})
	s = open(t, Options{URL: r.url, Dir: dir, Timeout: 300 * time.Millisecond})

	for name, method := range map[string]string{"references": http.MethodGet, "pack": http.MethodPost} {
		t.Run(name, func(t *testing.T) {
			stuck := make(chan struct{})
			r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
				if q.Method != method {
					return false
				}
				if method == http.MethodPost {
					fmt.Fprint(w, brokenPack(second))
					w.(http.Flusher).Flush()
				}
				select {
				case <-stuck:
				case <-q.Context().Done():
				}
				return true
			})
			defer close(stuck)
			began := time.Now()
			pullFails(t, s, "not done within 300ms")
			_, err := s.Pull(t.Context())
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err = s.Pull(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("three pulls took %s", took)
			}
			check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
		})
	}
	r.intercept(nil)
	pull(t, s, true)
	checkDirectory(t, dir)
}

// TestOtherObjectFormat: go-git knows SHA-1 only.
func TestOtherObjectFormat(t *testing.T) {
	r := newRepository(t)
	r.git("init", "--quiet", "--bare", "--object-format=sha256", "../sha256")
	r.commit("x", map[string]string{"a": "1"})
	tree := r.git("-C", "../sha256", "mktree")
	r.git("-C", "../sha256", "update-ref", "refs/heads/main", r.git("-C", "../sha256", "commit-tree", "-m", "x", tree))
	for _, url := range []string{strings.Replace(r.url, "/bottles", "/sha256", 1), filepath.Join(filepath.Dir(r.dir), "sha256")} {
		pullFails(t, open(t, Options{URL: url}), "object format is SHA-256", "let git-sync keep a checkout")
	}
}

// TestServerNeedsMultiACK: some servers refuse clients that don't ask for multi_ack.
func TestServerNeedsMultiACK(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method != http.MethodPost {
			return false
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			t.Error(err)
		}
		q.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("multi_ack")) {
			return false
		}
		http.Error(w, "multi_ack is needed", http.StatusBadRequest)
		return true
	})
	s := open(t, Options{URL: r.url})
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	second := r.commit("second", map[string]string{"a": "2"})
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})

	r.commit("third", map[string]string{"a": "3"})
	for text, want := range map[string]string{
		"clients must support protocol v9\nmore\n": "the server answered 400 (clients must support protocol v9): it may require something that go-git does not support; if this persists, let git-sync keep a checkout",
		"": "the server answered 400: it may require something that go-git does not support",
	} {
		r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
			if q.Method == http.MethodPost {
				http.Error(w, text, http.StatusBadRequest)
			}
			return q.Method == http.MethodPost
		})
		pullFails(t, s, want)
	}
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if q.Method == http.MethodPost {
			fmt.Fprint(w, "0035shallow "+second+"\n0000no packet")
		}
		return q.Method == http.MethodPost
	})
	pullFails(t, s, "the server's answer can't be read", "let git-sync keep a checkout")
}
