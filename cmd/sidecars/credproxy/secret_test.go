package credproxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestTokenFiles(t *testing.T) {
	dir := t.TempDir()
	tests := map[string]struct{ content, want string }{
		"plain":          {marker, ""},
		"newline":        {marker + "\n", ""},
		"CRLF":           {marker + "\r\n", ""},
		"empty":          {"", "is empty"},
		"only newlines":  {"\n\n", "is empty"},
		"two lines":      {marker + "\n" + marker, "cannot be sent"},
		"header smuggle": {marker + "\r\nX-Admin: 1", "cannot be sent"},
		"control":        {marker + "\x00", "cannot be sent"},
		"leading space":  {" " + marker, "cannot be sent"},
		"large":          {strings.Repeat(marker, maxTokenBytes), "larger than"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "slot"), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			token, err := readToken(dir, "slot")
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if !token.equal(newSecret(marker)) {
					t.Error("another token was read")
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("%v; want %q", err, test.want)
			}
			noSecret(t, "error", err.Error())
			if token.isSet() {
				t.Error("a token came with the error")
			}
		})
	}
	if _, err := readToken(dir, "absent"); err == nil || strings.Contains(err.Error(), dir) {
		t.Errorf("absent: %v; want an error without the directory", err)
	}
}

func TestSecretCannotBePrinted(t *testing.T) {
	s := newSecret(marker)
	holder := struct {
		Public  secret
		private secret
		pointer *secret
		list    []secret
		table   map[string]secret
		any     any
	}{s, s, &s, []secret{s}, map[string]secret{"a": s}, s}
	r := &route{path: "/a/", auth: auth{query: "key", token: s}}
	var out bytes.Buffer
	for _, value := range []any{s, &s, holder, &holder, r, *r, &table{routes: []*route{r}}, fmt.Errorf("%w %v", os.ErrExist, s)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%t"} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
		fmt.Fprintln(&out, value)
		if data, err := json.Marshal(value); err == nil {
			out.Write(data)
		}
		logger := zerolog.New(&out)
		logger.Info().Interface("value", value).Any("any", value).Msg("x")
	}
	zl := zerolog.New(&out)
	zl.Info().Stringer("s", s).Msgf("%v", s)
	noSecret(t, "output", out.String())
	for _, encoded := range []string{fmt.Sprintf("%x", marker), fmt.Sprintf("%X", marker), strings.Trim(fmt.Sprintf("%d", []byte(marker)), "[]")} {
		if strings.Contains(out.String(), encoded) {
			t.Errorf("the token shows as %s", encoded)
		}
	}
	if got := s.redact("a " + marker + " b"); got != "a [secret] b" {
		t.Errorf("redacted to %q", got)
	}
}
