package resolve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
)

// TestDevices judges devices by what they are on the host, also behind a link.
func TestDevices(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/dev/zero", link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		device v1alpha1.Device
		shared []string
		want   string
		says   string
	}{
		"with consent":               {device: v1alpha1.Device{Source: "/dev/zero", AllowDangerous: true}, want: "/dev/zero"},
		"without":                    {device: v1alpha1.Device{Source: "/dev/zero"}, says: `"/dev/zero" may give the agent power over the host`},
		"a link":                     {device: v1alpha1.Device{Source: link}, says: `"/dev/zero" may give the agent power`},
		"a link with consent":        {device: v1alpha1.Device{Source: link, AllowDangerous: true}, want: "/dev/zero"},
		"a directory":                {device: v1alpha1.Device{Source: "/dev/pts", AllowDangerous: true}, says: "it is no device"},
		"a file elsewhere":           {device: v1alpha1.Device{Source: "/etc/passwd", AllowDangerous: true}, says: "it is no device"},
		"missing":                    {device: v1alpha1.Device{Source: "/dev/dri/renderD999"}, says: "no such file or directory; plug it in"},
		"from a container":           {device: v1alpha1.Device{Source: "/dev/dri/renderD128"}, shared: []string{}, want: "/dev/dri/renderD128"},
		"from a container, unjudged": {device: v1alpha1.Device{Source: "/dev/serial/by-id/x"}, shared: []string{}, says: "may give the agent power"},
	} {
		m := v1alpha1.Bottle{Spec: v1alpha1.Spec{Agent: &v1alpha1.Agent{Image: "i", Devices: []v1alpha1.Device{c.device}}}}
		in, err := Reader{Settings: state.Settings{Shared: c.shared}}.Read(m)
		if in.Devices[c.device.Source] != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v, want %q, %q", name, in.Devices, err, c.want, c.says)
		}
	}
}
