package seccomp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
)

const prefix = "seccomp="

// profile returns the profile's JSON text, and its name: a digest.
var profile = sync.OnceValues(func() (text, name string) {
	p := seccomp.DefaultProfile()
	for _, rule := range p.Syscalls {
		// socketcall has its arguments behind a pointer, so a filter can't see the address family. Only 32-bit programs use it: those
		// built before Linux 4.3, or written in Go.
		rule.Names = slices.DeleteFunc(rule.Names, func(call string) bool { return call == "socketcall" })
	}
	data, err := json.Marshal(p)
	if err != nil {
		panic("seccomp: a profile that is not JSON: " + err.Error()) // plain structs of strings and numbers
	}
	return string(data), nameOf(string(data))
})

// Option returns the security option for the profile, with the profile's name instead of its 12 KB. Declarations and plans hold that;
// Expand turns it into what the engine needs.
func Option() string {
	_, name := profile()
	return prefix + name
}

// Expand replaces the profile's name by its text in security options.
func Expand(options []string) []string {
	text, name := profile()
	return mapped(options, func(value string) string {
		if value == name {
			return text
		}
		return value
	})
}

// Abbreviate replaces the text of any profile by its name in security options: the inverse of Expand.
func Abbreviate(options []string) []string {
	return mapped(options, func(value string) string {
		if strings.HasPrefix(value, "{") {
			return nameOf(value)
		}
		return value // unconfined, say
	})
}

func mapped(options []string, change func(value string) string) []string {
	options = slices.Clone(options)
	for i, o := range options {
		if value, ok := strings.CutPrefix(o, prefix); ok {
			options[i] = prefix + change(value)
		}
	}
	return options
}

func nameOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
