package scalar

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"supervise", "egress", "credProxy", "agent", "env"}
	for word, want := range map[string]string{
		"supervised": "supervise", "Supervise": "supervise", "supervsie": "supervise", "egres": "egress", "cred-proxy": "credProxy", "CRED_PROXY": "credProxy",
		"agnet": "agent", "en": "env", "nev": "env", "x": "", "": "", "network": "", "environment": "",
	} {
		if got := Closest(word, known); got != want {
			t.Errorf("closest to %q is %q, want %q", word, got, want)
		}
	}
}
