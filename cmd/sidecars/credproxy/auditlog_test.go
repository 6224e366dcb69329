package credproxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
)

// TestEndsThatCannotBeAuditedAreReported, since nobody waits for them.
func TestEndsThatCannotBeAuditedAreReported(t *testing.T) {
	begun, proceed := make(chan struct{}), make(chan struct{})
	u := newUpstream(t, func(http.ResponseWriter, *http.Request) { begun <- struct{}{}; <-proceed })
	b := newBench(t, u.ca(), to("/a/", u.URL))
	out := &failing{}
	b.handler.audit = newAuditLog(zerolog.New(b.log), out, b.handler.errorLog)
	c := b.converse()
	c.say(ask)
	<-begun
	out.fail(io.ErrShortWrite)
	close(proceed)
	c.hears("GET")
	b.until("the report", func() bool { return strings.Contains(b.log.String(), "could not be audited: short write") })
	if text := out.String(); !strings.Contains(text, `"phase":"begin"`) || strings.Contains(text, `"phase":"end"`) {
		t.Errorf("the log has:\n%s", text)
	}
}

// TestLinesShareWrites: however many come at once, each is written once, as a whole, before its request is made.
func TestLinesShareWrites(t *testing.T) {
	out := &sidecartest.Buffer{}
	b := newBench(t, nil)
	audit := newAuditLog(zerolog.Nop(), out, b.handler.errorLog)
	errs := make(chan error)
	const writers, lines = 16, 50
	for i := range writers {
		go func() {
			var err error
			for j := range lines {
				line := fmt.Sprintf(`{"n":"<%d.%d>"`, i, j)
				if err = audit.write([]byte(line + "}\n")); err == nil && !strings.Contains(out.String(), line) {
					err = fmt.Errorf("%q is not written when write has returned", line)
				}
				audit.writeSoon([]byte(`{"end":` + line + "}}\n"))
			}
			errs <- err
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	audit.flush()
	for i := range writers {
		for j := range lines {
			if line := fmt.Sprintf(`{"n":"<%d.%d>"`, i, j); strings.Count("\n"+out.String(), "\n"+line) != 1 || strings.Count(out.String(), `"end":`+line) != 1 {
				t.Fatalf("%q is not there exactly once", line)
			}
		}
	}
}
