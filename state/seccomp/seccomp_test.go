package seccomp

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestProfile(t *testing.T) {
	text, _ := profile()
	var p struct {
		DefaultAction string `json:"defaultAction"`
		Syscalls      []struct {
			Names  []string `json:"names"`
			Action string   `json:"action"`
			Args   []any    `json:"args"`
			// Rules that hold only for containers with a capability hold for none of ours.
			Includes struct {
				Caps []string `json:"caps"`
			} `json:"includes"`
		} `json:"syscalls"`
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, rule := range p.Syscalls {
		for _, name := range rule.Names {
			allowed[name] = allowed[name] || rule.Action == "SCMP_ACT_ALLOW" && len(rule.Args) == 0 && len(rule.Includes.Caps) == 0
		}
	}
	if p.DefaultAction != "SCMP_ACT_ERRNO" || !allowed["read"] || !allowed["futex"] {
		t.Fatalf("not a profile that allows what it names: %.200s", text)
	}
	for _, name := range []string{"socket", "socketcall", "io_uring_setup", "mount", "unshare", "bpf", "keyctl", "userfaultfd", "kexec_load"} {
		if allowed[name] {
			t.Errorf("%s is allowed", name)
		}
	}
}

func TestExpandAndAbbreviate(t *testing.T) {
	short := []string{"no-new-privileges", Option()}
	long := Expand(short)
	if len(long) != 2 || long[0] != short[0] || !strings.HasPrefix(long[1], `seccomp={"defaultAction"`) {
		t.Errorf("expanded: %.100q", long)
	}
	if got := Abbreviate(long); !slices.Equal(got, short) {
		t.Errorf("there and back: %q, want %q", got, short)
	}
	if got := Abbreviate([]string{`seccomp={"defaultAction":"SCMP_ACT_ALLOW"}`}); got[0] == Option() {
		t.Error("another profile has the same name")
	}
	if got := Abbreviate([]string{"seccomp=unconfined"}); got[0] != "seccomp=unconfined" {
		t.Errorf("no profile at all is called %q", got)
	}
}
