package configreport

import "testing"

func TestParse(t *testing.T) {
	for line, want := range map[string]Report{
		`{"level":"info","role":"pipelock","event":"config","cause":"start","config":"sha256:a"}`: {Event: Event, Cause: CauseStart, Config: "sha256:a"},
		`{"event":"config","cause":"signal","config":"sha256:a","error":"unknown key"}`:           {Event: Event, Cause: CauseSignal, Config: "sha256:a", Error: "unknown key"},
		`{"event":"egress","reason":"\"event\":\"config\""}`:                                      {},
		`{"x":{"event":"config"},"cause":"start"}`:                                                {},
		`{"event":"config","cause":`:                                                              {},
		``:                                                                                        {},
	} {
		got, ok := Parse(line)
		if ok != (want != Report{}) || ok && got != want {
			t.Errorf("%s: %+v, %t", line, got, ok)
		}
	}
}
