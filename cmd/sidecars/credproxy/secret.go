package credproxy

import (
	"cmp"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	maxTokenBytes = 16 << 10
	redacted      = "[secret]"
	minPart       = 8 // bytes of a password that is looked for by itself
)

// secret is a token that can be put into a request and nowhere else. The value lives in closures: no printing
// verb, marshaller or logger can reach it, not even through an enclosing struct's unexported field, where fmt
// ignores methods and reads the memory.
type secret struct {
	reveal func() string
	forms  func() []string // in which it could show up
}

func newSecret(value string) secret {
	forms := formsOf(value)
	return secret{reveal: func() string { return value }, forms: func() []string { return forms }}
}

// formsOf are the ways in which a request may hold a token, the longest first.
func formsOf(value string) []string {
	encoded := base64.StdEncoding.EncodeToString([]byte(value))
	forms := []string{value, encoded, strings.TrimRight(encoded, "="), url.QueryEscape(value), url.PathEscape(value)}
	if _, password, ok := strings.Cut(value, ":"); ok && len(password) >= minPart {
		forms = append(forms, password) // of Basic
	}
	slices.SortFunc(forms, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(forms)
}

func (s secret) isSet() bool { return s.reveal != nil }

// isIn reports whether text holds the secret in any form.
func (s secret) isIn(text string) bool {
	return s.isSet() && slices.ContainsFunc(s.forms(), func(form string) bool { return strings.Contains(text, form) })
}

// redact returns text without the secret.
func (s secret) redact(text string) string {
	if !s.isIn(text) {
		return text
	}
	for _, form := range s.forms() {
		text = strings.ReplaceAll(text, form, redacted)
	}
	return text
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
