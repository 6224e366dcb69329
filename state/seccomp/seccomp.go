// Package seccomp has the profile of the system calls that containers of ours may make. It is Docker's own, as of the
// module's version, for every engine: what an old engine's default still allows (io_uring, and sockets to the machine below
// by AF_VSOCK, on 20.10) is closed there, too, and an engine that was told to use none still uses this one.
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

// profile makes the profile's text, and its short name.
var profile = sync.OnceValues(func() (text, name string) {
	p := seccomp.DefaultProfile()
	for _, rule := range p.Syscalls {
		// Its arguments lie behind a pointer, so no filter sees which family of sockets is meant. 32-bit programs use it that
		// are older than Linux 4.3, or written in Go.
		rule.Names = slices.DeleteFunc(rule.Names, func(call string) bool { return call == "socketcall" })
	}
	data, err := json.Marshal(p)
	if err != nil {
		panic("seccomp: a profile that is not JSON: " + err.Error()) // plain structs of strings and numbers
	}
	return string(data), nameOf(string(data))
})

// Option is the security option that asks for the profile. It has the profile's name, a digest, in the place of its
// 12 KB: so declarations and plans have it, and Expand turns it into what an engine is told.
func Option() string {
	_, name := profile()
	return prefix + name
}

// Expand replaces the name of the profile by the profile.
func Expand(options []string) []string {
	text, name := profile()
	return mapped(options, func(value string) string {
		if value == name {
			return text
		}
		return value
	})
}

// Abbreviate replaces every profile by its name.
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
