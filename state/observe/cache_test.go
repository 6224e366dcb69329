package observe

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/state/engine"
)

func TestCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.json")
	s := engine.Summary{ID: "a", Name: "n", State: engine.StateRunning, Endpoints: []engine.Endpoint{{Network: "net", NetworkID: "id1", ID: "ep1"}}}
	c := OpenCache(path)
	if _, ok := c.get(s); ok {
		t.Error("an empty cache knows a container")
	}
	c.put([]ObservedContainer{{Summary: s, Detail: engine.Detail{ExitCode: 7, EndedAt: time.Unix(100, 0)}}}, "")
	c.SetReport("a", engine.Report{Config: "x", At: time.Unix(101, 0)})
	if got, ok := c.get(s); !ok || got.ExitCode != 7 || got.Config != "x" {
		t.Errorf("%+v %v", got, ok)
	}
	c.put([]ObservedContainer{{Summary: s, Detail: engine.Detail{ExitCode: 7}, Config: "x"}}, "")
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	again := OpenCache(path)
	if got, ok := again.get(s); !ok || got.Config != "x" {
		t.Errorf("after a restart: %+v %v", got, ok)
	}
	for what, change := range map[string]func(*engine.Summary){
		"a restart": func(s *engine.Summary) {
			s.Endpoints = []engine.Endpoint{{Network: "net", NetworkID: "id1", ID: "ep2"}}
		},
		"a network": func(s *engine.Summary) {
			s.Endpoints = append(s.Endpoints, engine.Endpoint{Network: "other", NetworkID: "id2", ID: "ep3"})
		},
		"a stop":     func(s *engine.Summary) { s.State = engine.StateExited },
		"a new name": func(s *engine.Summary) { s.Name = "m" },
		"a new ID":   func(s *engine.Summary) { s.ID = "b" },
	} {
		changed := s
		change(&changed)
		if _, ok := again.get(changed); ok {
			t.Errorf("%s is not noticed", what)
		}
	}
	again.Forget("a")
	if _, ok := again.get(s); ok {
		t.Error("not forgotten")
	}
}
