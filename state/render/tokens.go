package render

import (
	"github.com/bot-bottle/bottled/manifests"
	"github.com/bot-bottle/bottled/state"
)

// tokenSlot names the file that a token reaches the cred-proxy in. It depends on where the token comes
// from, so that reordering routes moves no token.
func tokenSlot(ref manifests.SecretRef) string {
	if ref.Env != "" {
		return "env-" + ref.Env
	}
	return "file-" + state.DigestJSON(ref.File)
}
