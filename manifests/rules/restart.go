package rules

import (
	"fmt"
	"slices"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

var restarts = []string{string(v1alpha1.RestartOnFailure), string(v1alpha1.RestartNever), string(v1alpha1.RestartAlways)}

// maxBackoffLimit is far more than anybody waits for: the last of these retries come five minutes apart.
const maxBackoffLimit = 1000

func validateRestart(d *parse.Document, agent *v1alpha1.Agent) {
	const restart, limit = v1alpha1.AgentField + ".restart", v1alpha1.AgentField + ".backoffLimit"
	if d.Given(restart) && !slices.Contains(restarts, string(agent.Restart)) {
		d.Report(restart, scalar.Quote(string(agent.Restart))+" is not a restart policy", scalar.SuggestOneOf(string(agent.Restart), restarts))
		return
	}
	if !d.Given(limit) || agent.BackoffLimit == nil {
		return
	}
	switch policy := agent.RestartPolicy(); {
	case *agent.BackoffLimit < 0 || *agent.BackoffLimit > maxBackoffLimit:
		d.Report(limit, fmt.Sprintf("%d is not a number of retries", *agent.BackoffLimit),
			fmt.Sprintf("write a number from 0 to %d, or remove it for %d", maxBackoffLimit, v1alpha1.DefaultBackoffLimit))
	case policy != v1alpha1.RestartOnFailure:
		d.Report(limit, fmt.Sprintf("it has no effect with restart: %s", policy), "remove it, or write restart: onFailure")
	}
}
