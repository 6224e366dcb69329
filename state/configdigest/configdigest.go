// Package configdigest names a set of configuration files by its content. The controller and the
// sidecars both compute it, so that a sidecar can say which configuration it runs and the controller
// can tell whether that is the one it wrote.
package configdigest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Of returns "sha256:<hex>" over the files' base names, lengths and contents, in the order of their
// names. It must never be given a secret: the result is logged and put on labels, and whoever has it could try
// guesses. So it needs no key: what it is made of (routes, with the slots' names and no tokens; certificates; the
// allowlist) is shown to the agent anyway.
func Of(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%s\x00%d\x00", name, len(files[name]))
		h.Write(files[name])
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
