package configdigest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Of returns "sha256:<hex>" over the files' base names, lengths and contents, sorted by name. Never pass a secret: the result is logged
// and put on labels, and has no key, so guesses can be tried against it. The files (routes with the names of token slots, certificates,
// the allowlist) are shown to the agent anyway.
func Of(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(files[name]))
		h.Write(files[name])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
