package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// Limits of health checks: the engine runs a process for each.
const (
	minHealthDuration = time.Second
	maxHealthDuration = time.Hour
	maxHealthRetries  = 100
)

func validateServices(d *parse.Document) {
	services := d.Bottle.Spec.Services
	if len(services) > v1alpha1.MaxServices {
		d.Report(v1alpha1.ServicesField, fmt.Sprintf("%d services are more than %d", len(services), v1alpha1.MaxServices), "run some of them in one container, or in a bottle of their own")
	}
	holders := map[string]int{}
	for i, s := range services {
		field := parse.ElementOf(v1alpha1.ServicesField, i)
		if d.Given(field + ".name") {
			if f := checkServiceName(s.Name, holders); f != nil {
				d.Report(field+".name", f.Reason, f.Fix)
			} else {
				holders[s.Name] = i
				refuseDomain(d, field+".name", s.Name)
			}
		}
		validateService(d, field, s)
	}
}

// checkServiceName checks a name that is to be a host name in the bottle. holders has those of the services before it.
func checkServiceName(name string, holders map[string]int) *scalar.Fault {
	holder, taken := holders[name]
	switch {
	case !v1alpha1.IsName(name):
		return scalar.NewFault(scalar.Quote(name)+" is not the name of a service", nameFix(name))
	case contract.IsName(name) || name == "localhost":
		return scalar.NewFault(scalar.Quote(name)+" is the name of something else in the bottle", "choose another name, like db")
	case taken:
		return scalar.NewFault(fmt.Sprintf("%s is the name of services[%d] too", scalar.Quote(name), holder), "choose another name")
	}
	return nil
}

// hasService reports whether a name is that of a service of the bottle.
func hasService(d *parse.Document, name string) bool {
	return slices.ContainsFunc(d.Bottle.Spec.Services, func(s v1alpha1.Service) bool { return s.Name == name })
}

// refuseDomain reports a service whose name is the end of a host that the agent may ask: programs take a name in NO_PROXY for a domain.
func refuseDomain(d *parse.Document, field, name string) {
	if host := hostBelow(declaredHosts(d), name); host != "" {
		d.Report(field, fmt.Sprintf("the agent would ask %s past pipelock: services are in NO_PROXY, and programs take %s for a domain", scalar.Quote(host), name), "choose another name")
	}
}

// hostBelow returns the first host that is below a name as a domain; "" when none is.
func hostBelow(hosts []string, name string) string {
	i := slices.IndexFunc(hosts, func(host string) bool { return strings.HasSuffix(host, "."+name) })
	if i < 0 {
		return ""
	}
	return hosts[i]
}

func validateService(d *parse.Document, field string, s v1alpha1.Service) {
	if f := checkImage(s.Image); f != nil && d.Given(field+".image") {
		d.Report(field+".image", f.Reason, f.Fix)
	}
	validateCommand(d, field+".command", s.Command)
	validateVariables(d, field+".env", s.Env, nil)
	reportFault(d, field+".user", func() *scalar.Fault { return checkServiceUser(s.User) })
	targets := map[string]string{}
	validateVolumes(d, field+".volumes", s.Volumes, targets)
	validateResources(d, field+".resources", s.Resources)
	validateMemory(d, field, s.Resources, validateTmpfs(d, field+".tmpfs", s.Tmpfs, targets))
	reportFault(d, field+".stopGracePeriod", func() *scalar.Fault { return checkGrace(s.StopGracePeriod) })
	if s.Healthcheck != nil {
		validateHealthcheck(d, field+".healthcheck", *s.Healthcheck)
	}
}

func checkServiceUser(user string) *scalar.Fault {
	if userPattern.Matches(user) && user != v1alpha1.UserAuto && !slices.ContainsFunc(strings.Split(user, ":"), isTooLargeID) {
		return nil
	}
	return scalar.NewFault(scalar.Quote(user)+" is not a user of a service", `write "UID:GID", like "999:999", or a name that the image knows`)
}

func validateHealthcheck(d *parse.Document, field string, h v1alpha1.Healthcheck) {
	if at := field + ".command"; d.Given(at) && len(h.Command) == 0 {
		d.Report(at, "there is no command", "write a program that ends with exit code 0 when the service works, like [pg_isready]")
	}
	validateCommand(d, field+".command", h.Command)
	for key, text := range map[string]string{"interval": h.Interval, "timeout": h.Timeout, "startPeriod": h.StartPeriod} {
		at := scalar.FieldOf(field, key)
		if !d.Given(at) {
			continue
		}
		if v, err := time.ParseDuration(text); err != nil || !durationPattern.Matches(text) || v < minHealthDuration || v > maxHealthDuration {
			d.Report(at, scalar.Quote(text)+" is not a duration from 1s to 1h", "write for instance 5s or 1m30s")
		}
	}
	if at := field + ".retries"; d.Given(at) && (h.Retries < 1 || h.Retries > maxHealthRetries) {
		d.Report(at, fmt.Sprintf("%d is not a number of retries", h.Retries), fmt.Sprintf("write a number from 1 to %d, or remove it for %d", maxHealthRetries, v1alpha1.DefaultHealthRetries))
	}
}
