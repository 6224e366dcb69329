package gitsource

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const testToken = "glpat-Sup3rS3cret"

func protect(r *upstream, token *string) {
	r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
		if user, password, _ := q.BasicAuth(); user == "git" && password == *token {
			return false
		}
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "credentials, please; you sent "+q.Header.Get("Authorization"), http.StatusUnauthorized)
		return true
	})
}

func checkNoToken(t *testing.T, where, text string) {
	t.Helper()
	for _, secret := range []string{testToken, base64.StdEncoding.EncodeToString([]byte("git:" + testToken))} {
		if strings.Contains(text, secret) {
			t.Errorf("%s has the token: %s", where, text)
		}
	}
}

func TestToken(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	serverToken, token := testToken, testToken+"\n"
	protect(r, &serverToken)

	pullFails(t, open(t, Options{URL: r.url}), "the server asks for credentials")
	dir := t.TempDir()
	s := open(t, Options{URL: r.url, Dir: dir, Token: func() (string, error) {
		if token == "unreadable" {
			return "", errors.New("token.txt: permission denied")
		}
		return token, nil
	}})
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})

	second := r.commit("second", map[string]string{"a": "2"})
	serverToken = "another"
	checkNoToken(t, "an error", pullFails(t, s, "does not accept the token (401)"))
	token = "unreadable"
	pullFails(t, s, "read the token: token.txt: permission denied")
	token = " "
	pullFails(t, s, "the token is empty")
	token = "another"
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})

	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		checkNoToken(t, path, string(data))
		if strings.Contains(string(data), "another") {
			t.Errorf("%s has the second token", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestTokenInAnswers: whatever a server answers, the token is in no error.
func TestTokenInAnswers(t *testing.T) {
	r := newRepository(t)
	r.commit("x", map[string]string{"a": "1"})
	echo := func(q *http.Request) string {
		_, password, _ := q.BasicAuth()
		return fmt.Sprintf("%s \x1b[2J %s", password, q.Header.Get("Authorization"))
	}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"401":        func(w http.ResponseWriter, q *http.Request) { http.Error(w, echo(q), http.StatusUnauthorized) },
		"403":        func(w http.ResponseWriter, q *http.Request) { http.Error(w, echo(q), http.StatusForbidden) },
		"404":        func(w http.ResponseWriter, q *http.Request) { http.Error(w, echo(q), http.StatusNotFound) },
		"500":        func(w http.ResponseWriter, q *http.Request) { http.Error(w, echo(q), http.StatusInternalServerError) },
		"no packets": func(w http.ResponseWriter, q *http.Request) { fmt.Fprint(w, echo(q)) },
		"an error packet": func(w http.ResponseWriter, q *http.Request) {
			text := "ERR " + echo(q)
			fmt.Fprintf(w, "%04x%s", len(text)+4, text)
		},
		"redirect to it": func(w http.ResponseWriter, q *http.Request) {
			_, password, _ := q.BasicAuth()
			http.Redirect(w, q, "ftp://x/"+password, http.StatusFound)
		},
		"endless": func(w http.ResponseWriter, q *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			for q.Context().Err() == nil {
				if _, err := fmt.Fprint(w, strings.Repeat(echo(q), 1000)); err != nil {
					return
				}
			}
		},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(method+" "+name, func(t *testing.T) {
				r.intercept(func(w http.ResponseWriter, q *http.Request) bool {
					if q.Method != method {
						return false
					}
					answer(w, q)
					return true
				})
				began := time.Now()
				text := pullFails(t, open(t, Options{URL: r.url, Token: func() (string, error) { return testToken, nil }}))
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				checkNoToken(t, "the error", text)
				if strings.Contains(text, "\x1b") || len(text) > 2000 {
					t.Errorf("the error is not cleaned: %q", text)
				}
			})
		}
	}
}

func TestRedirectWithoutToken(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	var mu sync.Mutex
	var asked, leaked int
	note := func(q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		for name, values := range q.Header {
			if strings.Contains(fmt.Sprint(values), testToken) || name == "Authorization" {
				leaked++
			}
		}
	}
	r.intercept(func(_ http.ResponseWriter, q *http.Request) bool {
		note(q)
		return false
	})
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if _, password, _ := q.BasicAuth(); password != testToken {
			t.Error("the front server gets no token")
		}
		if q.Method == http.MethodGet {
			http.Redirect(w, q, r.url+strings.TrimPrefix(q.URL.Path, "/old")+"?"+q.URL.RawQuery, http.StatusTemporaryRedirect)
			return
		}
		http.NotFound(w, q)
	}))
	defer front.Close()
	token := func() (string, error) { return testToken, nil }
	s := open(t, Options{URL: front.URL + "/old", Token: token})
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	if asked != 3 || leaked != 0 {
		t.Errorf("%d requests, %d with the token", asked, leaked)
	}

	// A redirect of the fetch itself is not followed at all.
	front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodPost {
			http.Redirect(w, q, r.url+"/git-upload-pack", http.StatusTemporaryRedirect)
			return
		}
		res, err := http.Get(r.url + "/info/refs?service=git-upload-pack")
		if err != nil {
			t.Error(err)
			return
		}
		defer res.Body.Close()
		w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
		if _, err := io.Copy(w, res.Body); err != nil {
			t.Error(err)
		}
	})
	asked = 0
	text := pullFails(t, open(t, Options{URL: front.URL + "/old", Token: token}), "redirect")
	checkNoToken(t, "the error", text)
	if asked != 2 || leaked != 0 {
		t.Errorf("%d requests, %d with the token", asked, leaked)
	}
}
