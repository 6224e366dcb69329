package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/state/printable"
)

// Tokens are the bearer tokens that are accepted on TCP, with the names of their holders.
type Tokens []token

type token struct {
	name string
	hash [sha256.Size]byte
}

const (
	// minToken is the least length of a token: 32 characters of base64 or hexadecimal digits can't be guessed.
	minToken = 32
	// wrongTokenDelay is how long the answer to a wrong token takes.
	wrongTokenDelay = time.Second
)

var (
	holderPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)
	tokenPattern  = regexp.MustCompile(`^[!-~]+$`)
)

// ParseTokens reads lines of NAME TOKEN. Empty lines and those that begin with # count for nothing. The errors have no token.
func ParseTokens(text []byte) (Tokens, error) {
	var all Tokens
	seen := map[[sha256.Size]byte]bool{}
	for i, line := range strings.Split(string(text), "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		problem := ""
		switch {
		case len(words) != 2:
			problem = "write NAME TOKEN"
		case !holderPattern.MatchString(words[0]):
			problem = "a name has up to 64 letters, digits and the characters . _ @ -"
		case words[0] == "rule":
			problem = `the name "rule" stands for what is approved by a rule; choose another`
		case len(words[1]) < minToken || !tokenPattern.MatchString(words[1]):
			problem = fmt.Sprintf("a token has at least %d ASCII characters: openssl rand -hex 32 prints one", minToken)
		}
		if problem != "" {
			return nil, fmt.Errorf("line %d: %s", i+1, problem)
		}
		t := token{words[0], sha256.Sum256([]byte(words[1]))}
		if seen[t.hash] {
			return nil, fmt.Errorf("line %d: the token is on another line, too; each holder needs one of his own", i+1)
		}
		seen[t.hash] = true
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no line NAME TOKEN")
	}
	return all, nil
}

// holder returns whose token it is; "" for nobody's. The time that it takes does not depend on the token.
func (all Tokens) holder(text string) string {
	hash, name := sha256.Sum256([]byte(text)), ""
	for _, t := range all {
		if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 {
			name = t.name
		}
	}
	return name
}

// identityError is why the sender of a request is not known.
type identityError struct {
	code int
	text string
}

func (e *identityError) Error() string { return e.text }

// tokenHolder returns the holder of the token that a request has.
func (s *Server) tokenHolder(r *http.Request) (string, error) {
	if s.o.Tokens == nil {
		return "", &identityError{http.StatusForbidden, "proposals are not served here: use the controller's unix socket, or set api-tokens-file"}
	}
	all, err := s.o.Tokens()
	if err != nil {
		s.o.Log.Error().Err(err).Msg("api: nobody can use a token")
		return "", &identityError{http.StatusServiceUnavailable, "the controller can't read its tokens; its log says why"}
	}
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if text == "" || !strings.EqualFold(scheme, "Bearer") {
		return "", &identityError{http.StatusUnauthorized, "proposals need a token: Authorization: Bearer TOKEN"}
	}
	name := all.holder(text)
	if name != "" {
		return name, nil
	}
	select { // no slot of the listener is taken meanwhile
	case <-r.Context().Done():
	case <-time.After(wrongTokenDelay):
	}
	s.o.Log.Warn().Str("from", printable.Line(r.RemoteAddr)).Msg("api: a wrong token")
	return "", &identityError{http.StatusUnauthorized, "nobody has this token"}
}
