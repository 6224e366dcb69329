package credproxy

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	maxTokenBytes = 16 << 10
	redacted      = "[secret]"
)

// secret is a token that can be put into an Authorization header and nowhere else. The value lives in a
// closure: no printing verb, marshaller or logger can reach it, not even through an enclosing struct's
// unexported field, where fmt ignores methods and reads the memory.
type secret struct{ reveal func() string }

func newSecret(value string) secret { return secret{reveal: func() string { return value }} }

func (s secret) isSet() bool { return s.reveal != nil }

// authorize sets the Authorization header. With the scheme Basic a value of the form user:password is
// encoded as RFC 7617 wants; a value without a colon is taken to be encoded already, since base64 has none.
func (s secret) authorize(h http.Header, scheme string) {
	value := s.reveal()
	if strings.EqualFold(scheme, "Basic") && strings.Contains(value, ":") {
		value = base64.StdEncoding.EncodeToString([]byte(value))
	}
	h.Set("Authorization", scheme+" "+value)
}

// redact returns text without the secret.
func (s secret) redact(text string) string {
	if !s.isSet() {
		return text
	}
	value := s.reveal()
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	return strings.NewReplacer(value, redacted, encoded, redacted).Replace(text)
}

func (s secret) equal(other secret) bool {
	if !s.isSet() || !other.isSet() {
		return s.isSet() == other.isSet()
	}
	return subtle.ConstantTimeCompare([]byte(s.reveal()), []byte(other.reveal())) == 1
}

// String returns a placeholder.
func (s secret) String() string { return redacted }

// Format prints a placeholder, whatever the verb.
func (s secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalJSON returns a placeholder.
func (s secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// readToken reads the token of one slot. Its errors never quote the file's content.
func readToken(dir, slot string) (secret, error) {
	file, err := os.Open(filepath.Join(dir, filepath.Base(slot)))
	if err != nil {
		return secret{}, fmt.Errorf("token file %s cannot be read: %w", slot, withoutPath(err))
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxTokenBytes+1))
	if err != nil {
		return secret{}, fmt.Errorf("token file %s cannot be read: %w", slot, withoutPath(err))
	}
	value := strings.TrimRight(string(data), "\r\n")
	switch {
	case value == "":
		return secret{}, fmt.Errorf("token file %s is empty", slot)
	case len(data) > maxTokenBytes:
		return secret{}, fmt.Errorf("token file %s is larger than %d bytes", slot, maxTokenBytes)
	case !httpguts.ValidHeaderFieldValue(value), strings.TrimSpace(value) != value:
		return secret{}, fmt.Errorf("token file %s holds what cannot be sent in a header (line breaks, control characters, spaces around it)", slot)
	}
	return newSecret(value), nil
}

// withoutPath drops the file's path from an error that a client will see.
func withoutPath(err error) error {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
