package attach

import (
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/bottled/command"
	"github.com/bot-bottle/bottled/cmd/bottled/command/commandtest"
	"github.com/bot-bottle/bottled/cmd/bottled/command/logs"
	"github.com/bot-bottle/bottled/cmd/bottled/service"
	"github.com/bot-bottle/bottled/state"
)

func TestAttach(t *testing.T) {
	for args, says := range map[string]string{"dev": "", "dev/agent": "", "dev/pipelock": "bottled logs -f dev/pipelock", "": "name a bottle", "dev web": "name one bottle"} {
		var got *logs.Options
		cmd := New(&command.Factory{Service: &service.Service{}}, func(o *logs.Options) error { got = o; return nil })
		err := commandtest.Execute(t, cmd, args)
		if says != "" {
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %v, want %q", args, err, says)
			}
			continue
		}
		if err != nil || !got.Select.Follow || got.Select.Tail != lastLines || len(got.Select.Of) != 1 || got.Select.Of[0] != (service.Target{Bottle: "dev", Component: state.Agent}) {
			t.Errorf("%s: %+v, %v", args, got, err)
		}
	}
}
