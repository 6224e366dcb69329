package command

import (
	"fmt"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/reconciler"
)

// AgentsVerdict is the error of agents that have ended: of the first one that failed, with its exit code. nil when all completed.
func AgentsVerdict(bottles []reconciler.BottleStatus) error {
	for _, b := range bottles {
		agent := b.Agent()
		if agent == nil || agent.Phase != reconciler.PhaseFailed {
			continue
		}
		return exit.Status(agent.Ended.ExitCode, fmt.Errorf("bottle %s: the agent: %s", b.Slug, agent.Cause))
	}
	return nil
}
