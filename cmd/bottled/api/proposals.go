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
	decision, err := readDecision(http.MaxBytesReader(w, r.Body, maxDecision))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		http.Error(w, fmt.Sprintf("a decision has at most %d bytes", large.Limit), http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, printable.Block(err.Error()), http.StatusBadRequest)
		return
	}
	by, known := r.Context().Value(holderKey{}).(string)
	if !known {
		http.Error(w, "nobody is known to have sent this", http.StatusForbidden)
		return
	}
	ctx, cancel := bounded(r)
	defer cancel()
	if err := s.o.Source.Decide(ctx, by, r.PathValue("id"), decision); err != nil {
		refuse(w, err)
		return
	}
	s.json(w, http.StatusAccepted, struct{}{})
}

// readDecision reads a decision, strictly: a misspelt field must not make an approval mean more. The error has nothing of a secret.
func readDecision(body io.Reader) (reconciler.DecisionRequest, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return reconciler.DecisionRequest{}, err
	}
	var read decisionBody
	strict, err := kjson.UnmarshalStrict(text, &read)
	if err := errors.Join(append([]error{err}, strict...)...); err != nil {
		return reconciler.DecisionRequest{}, fmt.Errorf("the decision: %w", err)
	}
	if read.For != "" {
		if read.DecisionRequest.For, err = time.ParseDuration(read.For); err != nil || read.DecisionRequest.For <= 0 {
			return reconciler.DecisionRequest{}, errors.New(`the decision: for is a duration such as "2h"`)
		}
	}
	return read.DecisionRequest, nil
}
