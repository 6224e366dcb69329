package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/approve"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// Proposals are what agents ask for, the oldest first.
type Proposals struct {
	Proposals []reconciler.Proposal `json:"proposals"`
	// Warnings are about what could not be read. Without a controller only.
	Warnings []string `json:"warnings,omitempty"`
	// Offline is set where no controller runs: these were read from the queues, and nobody can decide about them.
	Offline bool `json:"-"`
}

// Proposals reads what agents ask for: from the controller or, where none runs, from the bottles' queues.
func (s *Service) Proposals(ctx context.Context) (Proposals, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return Proposals{}, err
	}
	all, err := api.Dial(socket).Proposals(ctx)
	if errors.Is(err, api.ErrNoController) {
		return s.queuedProposals()
	}
	return Proposals{Proposals: all}, err
}

// FollowProposals calls show with the proposals at once and after every change, as StatusSource.Follow does.
func (s *Service) FollowProposals(ctx context.Context, show func(Proposals) error, report func(error)) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	client := api.Dial(socket)
	watch := func(ctx context.Context, show func(Proposals) error) error {
		return client.WatchProposals(ctx, func(all []reconciler.Proposal) error { return show(Proposals{Proposals: all}) })
	}
	poll := func(context.Context) (Proposals, error) { return s.queuedProposals() }
	return follower[Proposals]{watch, poll, statusInterval}.follow(ctx, show, report)
}

// queuedProposals reads the queues of all bottles. It changes nothing.
func (s *Service) queuedProposals() (Proposals, error) {
	all := Proposals{Proposals: []reconciler.Proposal{}, Offline: true}
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return all, err
	}
	entries, err := os.ReadDir(settings.QueueDir(""))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return all, err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if err := all.addQueue(settings, e.Name()); err != nil {
			all.Warnings = append(all.Warnings, err.Error())
		}
	}
	slices.SortStableFunc(all.Proposals, func(a, b reconciler.Proposal) int { return a.Asked.Compare(b.Asked) })
	return all, nil
}

func (all *Proposals) addQueue(settings state.Settings, bottle string) (err error) {
	q, err := queue.Open(settings.QueueDir(bottle))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	pending, problems, err := q.Pending()
	for _, p := range pending[:min(len(pending), queue.MaxPending)] {
		all.Proposals = append(all.Proposals, described(bottle, p))
	}
	if len(problems) > 0 {
		all.Warnings = append(all.Warnings, fmt.Sprintf("%s in the queue of bottle %s can't be read, the first: %v", report.Count(len(problems), "file"), bottle, problems[0]))
	}
	return err
}

// described is a proposal as the controller would show it. The bottle is the queue's, whatever the text says.
func described(bottle string, p queue.Proposal) reconciler.Proposal {
	asked := p.Created
	if now := time.Now(); asked.After(now) {
		asked = now
	}
	return reconciler.Proposal{
		ID: p.ID, Bottle: bottle, Tool: p.Tool, Asked: asked, Summary: approve.Summarize(p), Justification: p.Justification, State: reconciler.ProposalWaiting,
	}
}

// FindProposal returns the proposal that is meant by an ID, or by the beginning of the random part of one.
func (s *Service) FindProposal(ctx context.Context, text string) (reconciler.Proposal, error) {
	all, err := s.Proposals(ctx)
	if err != nil {
		return reconciler.Proposal{}, err
	}
	return SelectProposal(all.Proposals, text)
}

// SelectProposal returns the proposal that is meant by an ID, or by the beginning of the random part of one.
func SelectProposal(all []reconciler.Proposal, text string) (reconciler.Proposal, error) {
	var found []reconciler.Proposal
	for _, p := range all {
		if p.ID == text {
			return p, nil
		}
		if text != "" && strings.HasPrefix(report.RandomPart(p.ID), text) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return reconciler.Proposal{}, fmt.Errorf("%w %q: bottled proposals --all lists them", reconciler.ErrNoProposal, text)
	case 1:
		return found[0], nil
	}
	lines := []string{fmt.Sprintf("%s begin with %q; give more of the ID:", report.Count(len(found), "proposal"), text)}
	for _, p := range found {
		lines = append(lines, fmt.Sprintf("%s  %s  %s", report.RandomPart(p.ID), p.Bottle, report.Short(p.Summary)))
	}
	return reconciler.Proposal{}, exit.Usage(errors.New(strings.Join(lines, "\n")))
}

// Review reads what a person needs to decide about a proposal. Without a controller that is the proposal alone.
func (s *Service) Review(ctx context.Context, id string) (reconciler.Review, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return reconciler.Review{}, err
	}
	review, err := api.Dial(socket).Review(ctx, id)
	if !errors.Is(err, api.ErrNoController) {
		return review, err
	}
	why := s.explainNoController(err, socket)
	all, err := s.queuedProposals()
	if err != nil {
		return reconciler.Review{}, err
	}
	p, err := SelectProposal(all.Proposals, id)
	if err != nil {
		return reconciler.Review{}, err
	}
	payload, err := s.payload(p)
	return reconciler.Review{Proposal: p, Payload: payload, Refused: []reconciler.RefusedRequest{}, Plan: []string{}, Blocked: why.Error()}, err
}

func (s *Service) payload(p reconciler.Proposal) (payload string, err error) {
	settings, err := s.Settings.StateSettings("")
	if err != nil {
		return "", err
	}
	q, err := queue.Open(settings.QueueDir(p.Bottle))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	entry, err := q.Get(p.ID)
	return entry.Proposal.Payload, err
}

// Decide gives the running controller a decision. When it returns, the controller has it on file.
func (s *Service) Decide(ctx context.Context, id string, decision reconciler.DecisionRequest) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	return s.explainNoController(api.Dial(socket).Decide(ctx, id, decision), socket)
}

// Allow has the running controller let a bottle reach a host. It returns the ID of the approved proposal that stands for it.
func (s *Service) Allow(ctx context.Context, bottle string, request reconciler.AllowRequest) (id string, err error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return "", err
	}
	id, err = api.Dial(socket).Allow(ctx, bottle, request)
	return id, s.explainNoController(err, socket)
}

// ReviewRollback reads what Rollback would change.
func (s *Service) ReviewRollback(ctx context.Context, bottle string) (reconciler.Review, error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return reconciler.Review{}, err
	}
	review, err := api.Dial(socket).ReviewRollback(ctx, bottle)
	return review, s.explainNoController(err, socket)
}

// Rollback has the running controller give a bottle's agent the previous Dockerfile back, and returns what Allow returns.
func (s *Service) Rollback(ctx context.Context, bottle string, request reconciler.RollbackRequest) (id string, err error) {
	socket, err := s.Settings.socket()
	if err != nil {
		return "", err
	}
	id, err = api.Dial(socket).Rollback(ctx, bottle, request)
	return id, s.explainNoController(err, socket)
}

// CheckController fails where no controller runs.
func (s *Service) CheckController(ctx context.Context) error {
	socket, err := s.Settings.socket()
	if err != nil {
		return err
	}
	_, err = api.Dial(socket).Proposals(ctx)
	return s.explainNoController(err, socket)
}

// maxSecret is the most that a secret may have, in bytes.
const maxSecret = 64 << 10

// ReadSecret reads a secret from a file, or from stdin by the name "-". A line break at its end is not of the secret.
func (s *Service) ReadSecret(path string) (string, error) {
	var text []byte
	var err error
	if path == Stdin {
		text, err = io.ReadAll(io.LimitReader(s.Stdin, maxSecret+1))
	} else {
		text, err = readFile(path)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case err != nil:
		return "", fmt.Errorf("--secret-file: %w", err)
	case secret == "":
		return "", fmt.Errorf("--secret-file %s: it is empty", path)
	case len(secret) > maxSecret:
		return "", fmt.Errorf("--secret-file %s: a secret has at most %d bytes", path, maxSecret)
	}
	return secret, nil
}
