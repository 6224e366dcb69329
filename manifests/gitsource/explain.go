package gitsource

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"golang.org/x/crypto/ssh/knownhosts"
)

const (
	tokenUser  = "git"
	useGitSync = "let git-sync keep a checkout, and give bottled that (docs/guide/gitops.md#git-sync)"
	maxReason  = 1000 // bytes of an error's text, which may come from the server
)

func (s *Source) readToken() (string, error) {
	if s.token == nil {
		return "", nil
	}
	token, err := s.token()
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	if token = strings.TrimSpace(token); token == "" {
		return "", errors.New("the token is empty: write one into its file")
	}
	return token, nil
}

// explain makes an error of Pull: what failed, what to do, and what is checked out now. Apart from the end of the context it wraps
// nothing, so that no text gets out that was not cleaned.
func (s *Source) explain(ctx context.Context, err error, token string) error {
	text := clean(s.reason(ctx, err, token), token)
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("pull %s: %w: %s; %s", s, cause, text, clean(s.now(), token))
	}
	return fmt.Errorf("pull %s: %s; %s", s, text, clean(s.now(), token))
}

// now is what is checked out, as the end of an error.
func (s *Source) now() string {
	switch revision := s.Revision(); {
	case revision != "":
		return "the checkout stays at " + revision
	case s.lost != nil:
		return fmt.Sprintf("nothing is checked out, since %v", s.lost)
	case s.current != nil:
		return fmt.Sprintf("the checkout can't be used, since its files are not those of %s", s.current)
	}
	return "nothing is checked out yet"
}

func (s *Source) reason(ctx context.Context, err error, token string) string {
	var unknownHost *knownhosts.KeyError
	var answer *plumbing.UnexpectedError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Sprintf("it was not done within %s: check the network and the server, or allow more time", s.timeout)
	case ctx.Err() != nil:
		return "it was broken off"
	case errors.Is(err, transport.ErrAuthenticationRequired) && token == "":
		return "the server asks for credentials, or does not show the repository without: give a token that may read it"
	case errors.Is(err, transport.ErrAuthenticationRequired):
		return "the server does not accept the token (401): it may have expired, or the server has redirected to another one, which does not get it; " +
			"renew the token, or give the URL of the repository's new place"
	case errors.Is(err, transport.ErrAuthorizationFailed):
		return "the server refuses (403): give a token that may read the repository"
	case errors.Is(err, transport.ErrRepositoryNotFound):
		return "there is no such repository, or it is hidden from who may not read it: check the URL and the credentials"
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return "the repository is empty: push a branch with manifests"
	case strings.Contains(err.Error(), "object-format=sha256"), errors.Is(err, git.ErrUnknownExtension):
		return "the repository's object format is SHA-256, or it has another extension that go-git does not know: " + useGitSync
	case strings.Contains(err.Error(), "multi_ack"):
		return fmt.Sprintf("the server's answer can't be read (%v); if that stays so, %s", err, useGitSync)
	case strings.Contains(err.Error(), plumbing.ErrReferenceNotFound.Error()):
		return "the server's HEAD is on no branch, and go-git can't follow that: set it (git symbolic-ref HEAD refs/heads/main)"
	case errors.As(err, &unknownHost):
		return fmt.Sprintf("the server's SSH key is not the one in known_hosts, or there is none: put the right one into ~/.ssh/known_hosts "+
			"or the file that SSH_KNOWN_HOSTS names (%v)", err)
	case errors.As(err, &answer):
		return answerReason(answer.Err)
	}
	return err.Error()
}

// answerReason explains an error that a server answered with, in its own words where it has some.
func answerReason(err error) string {
	var answer *githttp.Err
	if !errors.As(err, &answer) {
		return err.Error()
	}
	text := fmt.Sprintf("the server answered %d", answer.StatusCode())
	said, _, _ := strings.Cut(strings.TrimSpace(answer.Reason), "\n")
	if said != "" && len(answer.Reason) < maxAnswer { // one that was cut off may end in half a token
		text += fmt.Sprintf(" (%s)", said)
	}
	if answer.StatusCode() >= http.StatusInternalServerError || answer.StatusCode() == http.StatusTooManyRequests {
		return text + ": bottled tries again with the next pull"
	}
	return text + ": it may require something that go-git does not support; if this persists, " + useGitSync
}

// clean takes the token out of a text, and what a server could put in to confuse a terminal or fill a log.
func clean(text, token string) string {
	if token != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(tokenUser + ":" + token))
		alone := base64.StdEncoding.EncodeToString([]byte(token))
		text = strings.NewReplacer(token, "***", url.QueryEscape(token), "***", url.PathEscape(token), "***", basic, "***", alone, "***").Replace(text)
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
