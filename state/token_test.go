package state

import (
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/route"
)

func TestCommandPattern(t *testing.T) {
	for text, want := range map[string]struct {
		allows, refuses []string
		err             string
	}{
		"op":                {allows: []string{"op"}, refuses: []string{"op read", "/usr/bin/op", "opx"}},
		" op  read  * ":     {allows: []string{"op read", "op read x", "op read x y"}, refuses: []string{"op", "op write", "op readx"}},
		"op read x":         {allows: []string{"op read x"}, refuses: []string{"op read", "op read x y", "op read xy"}},
		"/usr/bin/op *":     {allows: []string{"/usr/bin/op", "/usr/bin/op x"}, refuses: []string{"op x", "/usr/bin/op/x"}},
		"op read ab*":       {allows: []string{"op read ab*"}, refuses: []string{"op read abc"}},
		"":                  {err: "it is empty"},
		"*":                 {err: "name a program"},
		"* read":            {err: "name a program"},
		"op * read":         {err: "nothing may follow"},
		"./op":              {err: "absolute path"},
		"/usr/bin/../bin/x": {err: "absolute path"},
	} {
		p, err := ParseCommandPattern(text)
		if (err == nil) != (want.err == "") || err != nil && !strings.Contains(err.Error(), want.err) {
			t.Errorf("%q: %v, want %q", text, err, want.err)
		}
		for _, command := range want.allows {
			if !p.Allows(strings.Fields(command)) {
				t.Errorf("%q does not allow %q", text, command)
			}
		}
		for _, command := range want.refuses {
			if p.Allows(strings.Fields(command)) {
				t.Errorf("%q allows %q", text, command)
			}
		}
	}
	if err := (Settings{}).CheckTokenExec([]string{"op"}); err == nil {
		t.Error("a command is allowed without a setting")
	}
}

// TestTokenSlot: containers that run have their tokens under these names.
func TestTokenSlot(t *testing.T) {
	for want, ref := range map[string]route.SecretRef{
		"env-TOKEN":             {Env: "TOKEN"},
		"file-b2e34e9798f606d5": {File: "/run/secrets/token"},
		"exec-2827c2025399a987": {Exec: []string{"op", "read", "x"}, Refresh: "5m"},
	} {
		if got := TokenSlot(ref); got != want {
			t.Errorf("%+v: %s, want %s", ref, got, want)
		}
	}
}
