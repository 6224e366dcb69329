package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// Approvals are the proposals of agents, and what is decided about them.
type Approvals interface {
	// Proposals returns those that wait or are being carried out, and the last ones that were answered; the oldest first.
	Proposals() []reconciler.Proposal
	// Review returns what a person needs to decide. Its error is marked reconciler.ErrNoProposal for an unknown ID.
	Review(ctx context.Context, id string) (reconciler.Review, error)
	// Decide returns when a decision is accepted and on file; how it goes on is in the proposal's State and Message. Its errors are marked
	// reconciler.ErrNoProposal and reconciler.ErrDecision where the request is wrong.
	Decide(ctx context.Context, by, id string, decision reconciler.DecisionRequest) error
	// Allow has a bottle reach a host, though no agent has asked: it returns, as Decide does, the ID of a proposal that is approved by the one
	// who made it.
	Allow(ctx context.Context, by, bottle string, request reconciler.AllowRequest) (id string, err error)
	// ReviewRollback returns what Rollback would change.
	ReviewRollback(ctx context.Context, bottle string) (reconciler.Review, error)
	// Rollback gives a bottle's agent the previous Dockerfile back. It is like Allow.
	Rollback(ctx context.Context, by, bottle string, request reconciler.RollbackRequest) (id string, err error)
}

// allowBody is the body of POST /v1/bottles/BOTTLE/allow. Its duration is a text, such as "2h".
type allowBody struct {
	reconciler.AllowRequest
	For string `json:"for,omitempty"`
}

// changeAnswer is the answer to a change of a person's own.
type changeAnswer struct {
	ID string `json:"id"` // of the proposal
}

// maxDecision limits a decision, in bytes. It may hold a whole file, of 1 MiB at most, whose text may be several times as long in JSON.
const maxDecision = 8 << 20

// proposalsAnswer is the answer to GET /v1/proposals.
type proposalsAnswer struct {
	Proposals []reconciler.Proposal `json:"proposals"`
}

// decisionBody is the body of a decision. Its duration is a text, such as "2h".
type decisionBody struct {
	reconciler.DecisionRequest
	For string `json:"for,omitempty"`
}

type holderKey struct{}

// identified calls next for requests whose sender is known.
func identified(identify func(*http.Request) (string, error), next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, err := identify(r)
		if err == nil {
			next(w, r.WithContext(context.WithValue(r.Context(), holderKey{}, name)))
			return
		}
		code := http.StatusForbidden
		var why *identityError
		if errors.As(err, &why) {
			code = why.code
		}
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		http.Error(w, printable.Line(err.Error()), code)
	}
}

// isDecision reports whether a request is a decision about a proposal.
func isDecision(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/proposals/") && strings.HasSuffix(r.URL.Path, "/decision")
}

func (s *Server) proposals() proposalsAnswer {
	return proposalsAnswer{append([]reconciler.Proposal{}, s.o.Source.Proposals()...)}
}

func (s *Server) review(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := bounded(r)
	defer cancel()
	review, err := s.o.Source.Review(ctx, r.PathValue("id"))
	if err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusOK, review)
}

func (s *Server) decide(w http.ResponseWriter, r *http.Request) {
	var body decisionBody
	by, ok := readRequest(w, r, &body, func() (err error) {
		body.DecisionRequest.For, err = parseFor(body.For)
		return err
	})
	if !ok {
		return
	}
	ctx, cancel := bounded(r)
	defer cancel()
	if err := s.o.Source.Decide(ctx, by, r.PathValue("id"), body.DecisionRequest); err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusAccepted, struct{}{})
}

func (s *Server) allow(w http.ResponseWriter, r *http.Request) {
	var body allowBody
	by, ok := readRequest(w, r, &body, func() (err error) {
		body.AllowRequest.For, err = parseFor(body.For)
		return err
	})
	if !ok {
		return
	}
	ctx, cancel := bounded(r)
	defer cancel()
	id, err := s.o.Source.Allow(ctx, by, r.PathValue("bottle"), body.AllowRequest)
	if err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusAccepted, changeAnswer{id})
}

func (s *Server) reviewRollback(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := bounded(r)
	defer cancel()
	review, err := s.o.Source.ReviewRollback(ctx, r.PathValue("bottle"))
	if err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusOK, review)
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) {
	var body reconciler.RollbackRequest
	by, ok := readRequest(w, r, &body, func() error { return nil })
	if !ok {
		return
	}
	ctx, cancel := bounded(r)
	defer cancel()
	id, err := s.o.Source.Rollback(ctx, by, r.PathValue("bottle"), body)
	if err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusAccepted, changeAnswer{id})
}

// readRequest reads a request that changes something, strictly: a misspelt field must not make an approval mean more. It returns who has
// sent it, or answers why it can't be accepted. An error has nothing of a secret.
func readRequest(w http.ResponseWriter, r *http.Request, body any, complete func() error) (by string, ok bool) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxDecision))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		http.Error(w, fmt.Sprintf("a request has at most %d bytes", large.Limit), http.StatusRequestEntityTooLarge)
		return "", false
	}
	if err == nil {
		var strict []error
		strict, err = kjson.UnmarshalStrict(text, body)
		err = errors.Join(append([]error{err}, strict...)...)
	}
	if err == nil {
		err = complete()
	}
	if err != nil {
		http.Error(w, printable.Block("the request: "+err.Error()), http.StatusBadRequest)
		return "", false
	}
	if by, ok = r.Context().Value(holderKey{}).(string); !ok {
		http.Error(w, "nobody is known to have sent this", http.StatusForbidden)
	}
	return by, ok
}

// parseFor parses for how long something is allowed; "" is for good.
func parseFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, errors.New(`for is a duration such as "2h"`)
	}
	return d, nil
}
