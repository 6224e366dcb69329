package resolve

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/state"
)

// ErrUnavailable marks inputs that are not there: what is written about them in the manifest may be right on another host.
var ErrUnavailable = errors.New("not available")

// unavailable is an error that says nothing more than the one it wraps.
type unavailable struct{ error }

func (u unavailable) Is(target error) bool { return target == ErrUnavailable }
func (u unavailable) Unwrap() error        { return u.error }

func (r Reader) resolveToken(slug string, ref route.SecretRef) (state.Content, error) {
	if len(ref.Exec) > 0 {
		return r.commandToken(slug, ref)
	}
	value, from, err := r.readSecret(ref)
	if err != nil {
		return state.Content{}, err
	}
	value = strings.TrimRight(value, "\r\n")
	if err := checkToken(value, ref); err != nil {
		return state.Content{}, fmt.Errorf("%s %w", from, err)
	}
	return state.NewContent([]byte(value)), nil
}

// commandToken returns what a command printed last, in this process or an earlier one.
func (r Reader) commandToken(slug string, ref route.SecretRef) (state.Content, error) {
	if err := r.CheckCommand(ref.Exec); err != nil {
		return state.Content{}, err
	}
	token, err := r.Commands.token(ref)
	if err == nil {
		return token, nil
	}
	if token, found := r.delivered(slug, state.TokenSlot(ref)); found {
		return token, nil
	}
	return state.Content{}, err
}

func (r Reader) readSecret(ref route.SecretRef) (value, from string, err error) {
	if ref.Env == "" {
		data, err := r.Writable.ReadFile(ref.File, maxToken)
		return string(data), ref.File, missing(err, "put the token there, or correct the path")
	}
	from = "environment variable " + ref.Env
	value, ok := r.Getenv(ref.Env)
	if !ok {
		return "", from, unavailable{fmt.Errorf("%s is not set: export it where bottled runs, and restart bottled", from)}
	}
	return value, from, nil
}

// assignment is a line of an env file. Padding at the end of Base64 is none.
var assignment = regexp.MustCompile(`^(export\s+)?[A-Za-z_][A-Za-z0-9_]*=[^=]`)

// CheckToken refuses a content of a token's file that can't be sent as a token, or is surely none. Its errors begin with a verb and never
// quote it.
func CheckToken(value string) error { return checkToken(value, route.SecretRef{}) }

// checkToken refuses what can't be sent as a token, and what is surely none. Its errors never quote it.
func checkToken(value string, ref route.SecretRef) error {
	switch {
	case value == "":
		return errors.New("is empty: put the token there")
	case strings.ContainsAny(value, "\r\n"):
		return errors.New("has several lines: it must hold only the token, in one line")
	case ref.Env == "" && assignment.MatchString(value):
		return errors.New("contains NAME=VALUE like an env file: put only the value there")
	case strings.TrimSpace(value) != value:
		return errors.New("has spaces around the token: remove them")
	case !httpguts.ValidHeaderFieldValue(value):
		return errors.New("has control characters, which can't be sent in a header: it must hold only the token")
	}
	return nil
}
