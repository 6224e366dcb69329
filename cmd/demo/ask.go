package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/reconciler"
)

// proveAsked has the agent ask for a host and the reader approve it.
func (d *demo) proveAsked() {
	d.say("8. The agent asks, and a person answers.\n")
	url := "http://" + askedHost + "/"
	call := fmt.Sprintf(`{"url": %q, "justification": "the changelog is there"}`, url)
	d.prove("The builder's agent asks for a host. Its client gives up after a second, ...",
		func(r result) bool { return r.code == 1 && strings.Contains(r.output, "deadline exceeded") },
		inAgent(builderAgent, "tools", "--timeout", "1s", "http://supervise:9100", "pipelock-block", call)...)
	d.prove("... and what it asks for waits for a person.",
		func(r result) bool { return r.code == 0 && strings.Contains(r.output, "allow "+askedHost+":80") }, bottled("proposals")...)
	id := d.proposal()
	d.do(bottled("proposals", "show", id)...)
	d.do(bottled("approve", id, "--yes")...)
	d.prove("When it asks again, it has the answer, ...",
		func(r result) bool { return r.code == 0 && strings.Contains(r.output, `"status":"approved"`) },
		inAgent(builderAgent, "tools", "http://supervise:9100", "pipelock-block", call)...)
	d.prove("... the host can be reached, ...", func(r result) bool { return r.code == 0 }, inAgent(builderAgent, "fetch", url)...)
	d.prove("... because the manifest says so.", func(r result) bool { return r.code == 0 }, "grep", askedHost+":80", manifestDir+"/builder.yaml")
}

// proposal is the ID of the proposal that waits.
func (d *demo) proposal() string {
	var waiting struct {
		Proposals []reconciler.Proposal `json:"proposals"`
	}
	output := d.ask(bottled("proposals", "-o", "json")...)
	if d.err != nil {
		return ""
	}
	if err := json.Unmarshal([]byte(output), &waiting); err != nil || len(waiting.Proposals) != 1 {
		d.fail(errors.Join(fmt.Errorf("one proposal is expected, not %s", output), err))
		return ""
	}
	_, random, _ := strings.Cut(waiting.Proposals[0].ID, "-")
	return random[:8]
}
