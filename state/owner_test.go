package state

import (
	"strings"
	"testing"
)

func TestOwnerIsWritable(t *testing.T) {
	owner := func(mode uint32) Owner { return Owner{Known: true, UID: 1000, GID: 1000, Mode: mode} }
	for name, c := range map[string]struct {
		owner Owner
		user  string
		want  bool
	}{
		"the owner":                      {owner(0o755), "1000:1000", true},
		"the owner of a read-only tree":  {owner(0o555), "1000", false},
		"root without capabilities":      {owner(0o755), "", false},
		"root by its name":               {owner(0o755), "root", false},
		"root, of a tree for everybody":  {owner(0o777), "0:0", true},
		"root, of a tree for a group":    {owner(0o775), "0", false},
		"root in that group":             {owner(0o775), "0:1000", true},
		"another user in that group":     {owner(0o775), "1001:1000", true},
		"another user, groups not known": {owner(0o775), "1001", true},
		"another user":                   {owner(0o755), "1001:1000", false},
		"a user that the image knows":    {owner(0o700), "node", true},
		"not known":                      {Owner{}, "0", true},
		"an owner that is not mapped":    {Owner{Known: true, UID: -1, GID: -1, Mode: 0o755}, "0", false},
	} {
		if got := c.owner.Warn(c.user, "/srv/work", "/work") == ""; got != c.want {
			t.Errorf("%s: writable %t, want %t", name, got, c.want)
		}
	}
	const want = "root, which has no capabilities in a bottle, can't write to /work: /srv/work belongs to 1000:1000, mode 0755. Set spec.agent.user to auto"
	if got := owner(0o755).Warn("", "/srv/work", "/work"); !strings.HasPrefix(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}
