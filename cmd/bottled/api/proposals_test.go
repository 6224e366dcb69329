package api

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/user"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

const (
	aliceToken = "alice-0123456789abcdef0123456789abcdef"
	bobToken   = "bob-0123456789abcdef0123456789abcdef00"
)

func aReview(id string) reconciler.Review {
	return reconciler.Review{
		Proposal: reconciler.Proposal{
			ID: id, Bottle: "dev", Tool: queue.PipelockBlock, Asked: time.Unix(1e9, 0).UTC(), Expires: time.Unix(2e9, 0).UTC(),
			Summary: "allow a.example:443", Justification: "\u2028 <b>", State: reconciler.ProposalWaiting,
		},
		Payload: "https://a.example", File: "/m/dev.yaml", Digest: "d", Diff: "+ a.example", Refused: []reconciler.RefusedRequest{}, Plan: []string{"reload"},
	}
}

func TestProposals(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	c := Dial(r.socket)
	if all, err := c.Proposals(t.Context()); err != nil || all == nil || len(all) > 0 {
		t.Errorf("none: %+v, %v", all, err)
	}
	want := aReview("1")
	r.source.SetProposals(want)
	all, err := c.Proposals(t.Context())
	if diff := cmp.Diff([]reconciler.Proposal{want.Proposal}, all); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err := c.Review(t.Context(), "1")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := c.Review(t.Context(), "../x"); !errors.Is(err, reconciler.ErrNoProposal) || err.Error() != `there is no proposal "../x"` {
		t.Errorf("unknown: %v", err)
	}
	done := errors.New("enough")
	var seen []int
	err = c.WatchProposals(t.Context(), func(all []reconciler.Proposal) error {
		if seen = append(seen, len(all)); len(all) == 2 {
			return done
		}
		r.source.SetProposals(want, aReview("2"))
		return nil
	})
	if !errors.Is(err, done) || fmt.Sprint(seen) != "[1 2]" {
		t.Errorf("watched %v, %v", seen, err)
	}
}

func TestDecide(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	r.source.SetProposals(aReview("1"))
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var by string
	var got reconciler.DecisionRequest
	var refusal error
	r.source.OnDecide = func(who, _ string, d reconciler.DecisionRequest) error {
		by, got = who, d
		return refusal
	}
	edited := "spec: {}\n"
	want := reconciler.DecisionRequest{Approve: true, Digest: "d", Edited: &edited, For: 90 * time.Minute, Notes: "ok", AllowNewUpstream: true, Secret: "s"}
	c := Dial(r.socket)
	if err := c.Decide(t.Context(), "1", want); err != nil || by != me.Username {
		t.Errorf("decided by %q, %v", by, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := c.Decide(t.Context(), "1", reconciler.DecisionRequest{}); err != nil || got.Approve || got.For != 0 || got.Edited != nil {
		t.Errorf("rejected: %+v, %v", got, err)
	}
	refusal = fmt.Errorf("%w: alice was first", reconciler.ErrDecision)
	if err := c.Decide(t.Context(), "1", want); !errors.Is(err, reconciler.ErrDecision) || err.Error() != "not decided: alice was first" {
		t.Errorf("second: %v", err)
	}
	if err := c.Decide(t.Context(), "2", want); !errors.Is(err, reconciler.ErrNoProposal) {
		t.Errorf("unknown: %v", err)
	}
	refusal = errors.New("disk full")
	if err := c.Decide(t.Context(), "1", want); err == nil || errors.Is(err, reconciler.ErrDecision) || !strings.Contains(err.Error(), "500 Internal Server Error: disk full") {
		t.Errorf("failed: %v", err)
	}
}

func TestAllow(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	c := Dial(r.socket)
	if _, err := c.Allow(t.Context(), "dev", reconciler.AllowRequest{Host: "a.example"}); err == nil || !strings.Contains(err.Error(), `there is no bottle "dev"`) {
		t.Errorf("unknown: %v", err)
	}
	var got reconciler.AllowRequest
	var refusal error
	r.source.OnAllow = func(_, bottle string, request reconciler.AllowRequest) (string, error) {
		got = request
		return "id of " + bottle, refusal
	}
	want := reconciler.AllowRequest{Host: "a.example:80", For: time.Hour, Notes: "why"}
	id, err := c.Allow(t.Context(), "dev", want)
	if diff := cmp.Diff(want, got); err != nil || id != "id of dev" || diff != "" {
		t.Errorf("%q, %v (-want +got):\n%s", id, err, diff)
	}
	refusal = fmt.Errorf("%w: it is private", reconciler.ErrDecision)
	if _, err := c.Allow(t.Context(), "dev", want); !errors.Is(err, reconciler.ErrDecision) {
		t.Errorf("refused: %v", err)
	}
	if code, _ := call(t, unixHTTP(r.socket), "POST", "http://x/v1/bottles/dev/allow", ""); code != 400 {
		t.Errorf("no body: %d", code)
	}
}

// TestDecisionsAreStrict: what is not understood decides nothing.
func TestDecisionsAreStrict(t *testing.T) {
	r := start(t, Options{}, defaultPace)
	r.source.SetProposals(aReview("1"))
	decided := 0
	r.source.OnDecide = func(string, string, reconciler.DecisionRequest) error { decided++; return nil }
	for body, code := range map[string]int{
		`{"approve": true, "for": "2h"}`:               202,
		`{"approve": true, "for": "soon"}`:             400,
		`{"approve": true, "for": "-2h"}`:              400,
		`{"approve": true, "for": 7200}`:               400,
		`{"approve": true, "Digest": "d"}`:             400,
		`{"approve": true, "allowNewUpstreams": true}`: 400,
		`{"approve": true, "approve": false}`:          400,
		`{"approve": "yes"}`:                           400,
		`{"approve": true} {}`:                         400,
		`[]`:                                           400,
		``:                                             400,
		`{"notes": "` + strings.Repeat("a", maxDecision) + `"}`: 413,
	} {
		resp, err := unixHTTP(r.socket).Post("http://x/v1/proposals/1/decision", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != code {
			t.Errorf("%.60s: %d %s, %v; want %d", body, resp.StatusCode, text, err, code)
		}
	}
	if decided != 1 {
		t.Errorf("%d decisions", decided)
	}
	if code, _ := call(t, unixHTTP(r.socket), "GET", "http://x/v1/proposals/1/decision", ""); code != 405 {
		t.Errorf("GET: %d", code)
	}
}

// askTCP sends a request to the loopback address.
func askTCP(t *testing.T, r *running, method, path, authorization, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+r.TCPAddr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// TestTokens: on TCP, the holder of a token decides, and nobody else sees a proposal.
func TestTokens(t *testing.T) {
	file := "# who may decide\nalice " + aliceToken + "\n"
	r := start(t, Options{TCP: "127.0.0.1:0", Tokens: func() (Tokens, error) { return ParseTokens([]byte(file)) }}, defaultPace)
	r.source.SetProposals(aReview("1"))
	var by []string
	r.source.OnDecide = func(who, _ string, _ reconciler.DecisionRequest) error { by = append(by, who); return nil }
	r.source.Record(reconciler.Event{ID: 1, Reason: reconciler.EventProposalNew, Message: "agent's words"})
	r.source.Record(reconciler.Event{ID: 2, Reason: reconciler.EventOrdered, Message: "restart"})
	endpoints := []string{"GET /v1/proposals", "GET /v1/proposals/stream", "GET /v1/proposals/1", "HEAD /v1/proposals/1", "POST /v1/proposals/1/decision"}
	for _, endpoint := range endpoints {
		method, path, _ := strings.Cut(endpoint, " ")
		for authorization, code := range map[string]int{"": 401, "Basic YTpi": 401, "Bearer ": 401} {
			if got, body := askTCP(t, r, method, path, authorization, "{}"); got != code || strings.Contains(body, "a.example") {
				t.Errorf("%s with %q: %d %s", endpoint, authorization, got, body)
			}
		}
	}
	begin := time.Now()
	if code, body := askTCP(t, r, "POST", "/v1/proposals/1/decision", "Bearer "+bobToken, "{}"); code != 401 || time.Since(begin) < wrongTokenDelay || strings.Contains(body, bobToken) {
		t.Errorf("a wrong token: %d %s after %s", code, body, time.Since(begin))
	}
	if len(by) > 0 {
		t.Errorf("decided by %q", by)
	}
	if code, body := askTCP(t, r, "GET", "/v1/proposals", "bearer "+aliceToken, ""); code != 200 || !strings.Contains(body, "a.example") {
		t.Errorf("list: %d %s", code, body)
	}
	if code, body := askTCP(t, r, "POST", "/v1/proposals/1/decision", "Bearer "+aliceToken, `{"approve":true}`); code != 202 || fmt.Sprint(by) != "[alice]" {
		t.Errorf("decision: %d %s, by %q", code, body, by)
	}
	if code, _ := askTCP(t, r, "POST", "/v1/sync", "Bearer "+aliceToken, ""); code != 403 {
		t.Errorf("sync: %d", code)
	}
	if code, body := askTCP(t, r, "GET", "/v1/events", "", ""); code != 200 || strings.Contains(body, "words") || !strings.Contains(body, "restart") {
		t.Errorf("events: %d %s", code, body)
	}
	file = "alice"
	if code, body := askTCP(t, r, "GET", "/v1/proposals", "Bearer "+aliceToken, ""); code != 503 || strings.Contains(body, "a.example") {
		t.Errorf("with an unreadable file: %d %s", code, body)
	}
}

// TestNoTokens: without tokens, TCP has no proposals.
func TestNoTokens(t *testing.T) {
	r := start(t, Options{TCP: "127.0.0.1:0"}, defaultPace)
	r.source.SetProposals(aReview("1"))
	for _, endpoint := range []string{"GET /v1/proposals", "GET /v1/proposals/stream", "GET /v1/proposals/1", "POST /v1/proposals/1/decision"} {
		method, path, _ := strings.Cut(endpoint, " ")
		if code, body := askTCP(t, r, method, path, "Bearer "+aliceToken, "{}"); code != 403 || !strings.Contains(body, "api-tokens-file") {
			t.Errorf("%s: %d %s", endpoint, code, body)
		}
	}
}

func TestParseTokens(t *testing.T) {
	all, err := ParseTokens([]byte("\n# x\nalice " + aliceToken + "\r\n  bob@x\t" + bobToken + "\n"))
	if err != nil || all.holder(aliceToken) != "alice" || all.holder(bobToken) != "bob@x" || all.holder(aliceToken+"x") != "" || all.holder("") != "" {
		t.Errorf("%v, %v", all, err)
	}
	for text, says := range map[string]string{
		"":                                      "there is no line",
		"alice":                                 "line 1: write NAME TOKEN",
		"alice " + aliceToken + " x":            "line 1: write NAME TOKEN",
		"\nalice secret-and-short":              "line 2: a token has at least 32",
		"alice " + strings.Repeat("é", 40):      "line 1: a token has",
		"a/b " + aliceToken:                     "line 1: a name has",
		"rule " + aliceToken:                    "by a rule",
		"a " + aliceToken + "\nb " + aliceToken: "line 2: the token is on another line",
	} {
		if _, err := ParseTokens([]byte(text)); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret-and") || strings.Contains(err.Error(), aliceToken) {
			t.Errorf("%.50q: %v, want %q", text, err, says)
		}
	}
}
