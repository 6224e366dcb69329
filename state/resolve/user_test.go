package resolve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// TestUserAuto takes the owner of the first mount that is writable, by the IDs that the engine's containers have.
func TestUserAuto(t *testing.T) {
	dir := t.TempDir()
	mine := filepath.Join(dir, "work")
	if err := os.Mkdir(mine, 0o700); err != nil {
		t.Fatal(err)
	}
	manifest := func(user string, mounts ...v1alpha1.Mount) v1alpha1.Bottle {
		return v1alpha1.Bottle{Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{Image: "i", User: user, Mounts: mounts}}}
	}
	as := func(uid, gid int, known bool) func(int, int) (int, int, bool) {
		return func(int, int) (int, int, bool) { return uid, gid, known }
	}
	readOnly, writable := v1alpha1.Mount{Source: "/usr/share", Target: "/a", ReadOnly: true}, v1alpha1.Mount{Source: mine, Target: "/b"}
	for name, c := range map[string]struct {
		manifest v1alpha1.Bottle
		ids      func(int, int) (int, int, bool)
		want     string
		says     string
	}{
		"the owner":     {manifest("auto", readOnly, writable), as(1000, 100, true), "1000:100", ""},
		"root":          {manifest("auto", writable), as(0, 0, true), "", ""},
		"not auto":      {manifest("1000", writable), as(7, 7, true), "", ""},
		"not mapped":    {manifest("auto", writable), as(-1, -1, true), "", "belongs to a user or group that containers don't have"},
		"unknown":       {manifest("auto", writable), as(0, 0, false), "", "does not report which users"},
		"missing mount": {manifest("auto", v1alpha1.Mount{Source: dir + "/none", Target: "/c"}, writable), as(1000, 100, true), "", "no such file"},
	} {
		in, err := Reader{ContainerIDs: c.ids}.Read(c.manifest)
		if in.User != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v, want %q, %q", name, in.User, err, c.want, c.says)
		}
	}
}
