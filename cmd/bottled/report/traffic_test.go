package report

import (
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
)

func TestRefused(t *testing.T) {
	b := apitest.Bottle("dev", "Ready", "")
	if lines := Refused(b, apitest.Now); lines != nil {
		t.Errorf("nothing refused: %+v", lines)
	}
	b.Traffic = &reconciler.Traffic{Denied: 12, DLPBlocks: 1, DeniedHosts: []reconciler.DeniedHost{
		{Host: "evil.example", Code: "host_not_allowed", Count: 10, Last: apitest.Now.Add(-time.Minute)},
		{Host: "a\tb\x1b[2J", Code: "dlp", Count: 1, Last: apitest.Now},
	}}
	var text []string
	for _, l := range Refused(b, apitest.Now) {
		text = append(text, l.Text)
	}
	want := "\ndev: 12 requests denied since the controller started, of them 1 for what they contained\n" +
		"DENIED   HOST           CODE               LAST\n" +
		"10       evil.example   host_not_allowed   1m ago\n"
	if got := strings.Join(text, "\n"); !strings.HasPrefix(got, want) || strings.ContainsAny(got, "\x1b\t") {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestNotes: what an operator has to know of a bottle that is ready.
func TestNotes(t *testing.T) {
	b := apitest.Bottle("dev", "Ready", "")
	b.Conditions = []reconciler.Condition{
		{Type: reconciler.ConditionCut, Status: "True", Message: "its sidecars have no way out"},
		{Type: reconciler.ConditionCredentialRejected, Status: "True", Message: "route /a/"},
	}
	lines := noteLines([]reconciler.BottleStatus{b})
	if len(lines) != 2 || lines[0].Text != "dev: cut off: its sidecars have no way out" || lines[1].Text != "dev: credential rejected: route /a/" {
		t.Errorf("%+v", lines)
	}
}
