package rules

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const (
	userPattern      scalar.Pattern = `^[A-Za-z0-9_][-A-Za-z0-9_.]{0,31}(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,31})?$`
	modePattern      scalar.Pattern = `^[01]?[0-7]{3}$`
	hostnamePattern  scalar.Pattern = `^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`
	durationPattern  scalar.Pattern = `^([0-9]+(\.[0-9]+)?(s|m|h))+$`
	extraHostPattern scalar.Pattern = `^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`
	workdirPattern   scalar.Pattern = `^/`
)

const (
	// maxID is the largest user or group ID that Docker takes.
	maxID = 1<<31 - 1
	// minTmpfs is the least that a tmpfs or /dev/shm can have: a few pages.
	minTmpfs = 64 << 10
	// minGrace and maxGrace bound stopGracePeriod. The engine counts whole seconds, and a step that waits for a stop holds up its bottle.
	minGrace, maxGrace = time.Second, 10 * time.Minute
	maxTmpfs           = 64
	defaultTmpfsMode   = "1777"
)

// validateContainer judges the fields that Docker's users know from docker run. targets has what is mounted already.
func validateContainer(d *parse.Document, agent *v1alpha1.Agent, targets map[string]string) {
	validateUser(d, agent)
	reportFault(d, v1alpha1.AgentField+".workdir", func() *scalar.Fault { return checkWorkdir(agent.Workdir) })
	reportFault(d, v1alpha1.AgentField+".stopGracePeriod", func() *scalar.Fault { return checkGrace(agent.StopGracePeriod) })
	reportFault(d, v1alpha1.AgentField+".hostname", func() *scalar.Fault { return checkHostname(d, agent.Hostname) })
	validateMemoryFiles(d, agent, targets)
	validateExtraHosts(d, agent.ExtraHosts)
	validateDevices(d, agent)
}

// reportFault reports what is wrong with a field that is given.
func reportFault(d *parse.Document, field string, check func() *scalar.Fault) {
	if !d.Given(field) {
		return
	}
	if f := check(); f != nil {
		d.Report(field, f.Reason, f.Fix)
	}
}

func validateUser(d *parse.Document, agent *v1alpha1.Agent) {
	const field, fix = v1alpha1.UserField, `write a user like "1000", "1000:1000" or node, or auto for the owner of the first writable mount`
	switch user := agent.User; {
	case !d.Given(field):
	case user == v1alpha1.UserAuto && !slices.ContainsFunc(agent.Mounts, func(m v1alpha1.Mount) bool { return !m.ReadOnly }):
		d.Report(field, "auto is the owner of the first writable mount, and there is none", "add one to spec.agent.mounts, or "+fix)
	case !userPattern.Matches(user):
		d.Report(field, scalar.Quote(user)+" is not a user", fix)
	case slices.ContainsFunc(strings.Split(user, ":"), isTooLargeID):
		d.Report(field, fmt.Sprintf("%s has an ID above %d", scalar.Quote(user), maxID), fix)
	}
}

func isTooLargeID(id string) bool {
	if strings.Trim(id, "0123456789") != "" {
		return false
	}
	number, err := strconv.ParseInt(id, 10, 64)
	return err != nil || number > maxID
}

func checkWorkdir(dir string) *scalar.Fault {
	const fix = "write an absolute path in the agent, like /work"
	switch {
	case !path.IsAbs(dir):
		return scalar.NewFault("the working directory "+scalar.Quote(dir)+" is not absolute", fix)
	case path.Clean(dir) != dir:
		return scalar.NewFault("the working directory "+scalar.Quote(dir)+" is not clean", "write "+scalar.Quote(path.Clean(dir)))
	case isBelow(dir, kernelTargets):
		return scalar.NewFault(scalar.Quote(dir)+" is in a place that the kernel fills", fix)
	}
	return nil
}

func checkGrace(text string) *scalar.Fault {
	const fix = "write whole seconds from 1s to 10m, like 30s or 1m30s"
	grace, err := time.ParseDuration(text)
	switch {
	case err != nil || !durationPattern.Matches(text):
		return scalar.NewFault(scalar.Quote(text)+" is not a duration", fix)
	case grace < minGrace || grace > maxGrace || grace%time.Second != 0:
		return scalar.NewFault(scalar.Quote(text)+" is no number of seconds from 1 to 600", fix)
	}
	return nil
}

// checkHostname judges the agent's host name. The engine answers it to the other containers of the bottle, so it must not be the name of
// another one.
func checkHostname(d *parse.Document, name string) *scalar.Fault {
	const fix = "choose another name, like " + `"dev"`
	switch {
	case !hostnamePattern.Matches(name):
		return scalar.NewFault(scalar.Quote(name)+" is not a host name", "write one label of lower-case letters, digits and inner dashes, like dev")
	case name != contract.AgentName && contract.IsName(name), name == "localhost", hasService(d, name):
		return scalar.NewFault(scalar.Quote(name)+" is another component's name", fix)
	case slices.Contains(declaredHosts(d), name):
		return scalar.NewFault(scalar.Quote(name)+" is the name of a host that the bottle reaches", fix)
	}
	return nil
}

// declaredHosts are the hosts of the allowlist and the upstreams, without ports.
func declaredHosts(d *parse.Document) []string {
	var hosts []string
	for _, entry := range d.Bottle.Spec.Egress.Allowlist {
		host, _, _ := strings.Cut(strings.ToLower(entry.Host), ":")
		hosts = append(hosts, host)
	}
	if proxy := d.Bottle.Spec.CredProxy; proxy != nil {
		for _, r := range proxy.Routes {
			if u, err := url.Parse(r.Upstream); err == nil {
				hosts = append(hosts, strings.ToLower(u.Hostname()))
			}
		}
	}
	return hosts
}

// validateMemoryFiles judges what is in memory instead of on a disk: it counts as the agent's.
func validateMemoryFiles(d *parse.Document, agent *v1alpha1.Agent, targets map[string]string) {
	const shm = v1alpha1.AgentField + ".shmSize"
	total := int64(0)
	if d.Given(shm) {
		if f := checkMemoryFile(agent.ShmSize); f != nil {
			d.Report(shm, f.Reason, f.Fix)
		} else {
			total = agent.ShmBytes()
		}
	}
	total += validateTmpfs(d, v1alpha1.AgentField+".tmpfs", agent.Tmpfs, targets)
	validateMemory(d, v1alpha1.AgentField, agent.Resources, total)
}

// validateMemory compares the memory of a container with what its file systems in memory may take, in bytes.
func validateMemory(d *parse.Document, container string, r v1alpha1.Resources, total int64) {
	memory := r.MemoryBytes()
	if field := container + ".resources.memory"; d.Given(field) && memory > 0 && total > memory {
		d.Report(field, fmt.Sprintf("it is less than the %dMi that file systems in memory (tmpfs, shmSize) may take of it", total>>20), "raise it, or make those smaller")
	}
}

// validateTmpfs judges the tmpfs of a container and returns their size in all.
func validateTmpfs(d *parse.Document, list string, tmpfs []v1alpha1.Tmpfs, targets map[string]string) (total int64) {
	if len(tmpfs) > maxTmpfs {
		d.Report(list, fmt.Sprintf("it has more than %d entries", maxTmpfs), "remove some")
	}
	for i, t := range tmpfs {
		field := parse.ElementOf(list, i)
		size := t.Size
		if size == "" {
			size = v1alpha1.DefaultTmpfsSize
		}
		if f := checkMemoryFile(size); f == nil {
			total += scalar.Quantity(size, 1)
		} else if d.Given(field + ".size") {
			d.Report(field+".size", f.Reason, f.Fix)
		}
		if d.Given(field+".mode") && !modePattern.Matches(t.Mode) {
			d.Report(field+".mode", scalar.Quote(t.Mode)+" is not a mode", `write octal digits in quotes, like "1777" or "700"`)
		}
		validateTarget(d, field+".target", t.Target, parse.ElementOf("tmpfs", i), targets)
	}
	return total
}

func checkMemoryFile(text string) *scalar.Fault {
	bytes := scalar.Quantity(text, 1)
	switch {
	case !scalar.QuantityPattern.Matches(text):
		return scalar.NewFault(scalar.Quote(text)+" is not a size", scalar.SuggestQuantity(text))
	case bytes < 0:
		return scalar.NewFault(scalar.Quote(text)+" is more than any host has", "write less, like 1Gi")
	case bytes < minTmpfs:
		return scalar.NewFault(scalar.Quote(text)+" is less than 64Ki", "write more, like 64Mi")
	}
	return nil
}

// completeTmpfs fills in defaults.
func completeTmpfs(tmpfs []v1alpha1.Tmpfs) {
	for i := range tmpfs {
		t := &tmpfs[i]
		if t.Size == "" {
			t.Size = v1alpha1.DefaultTmpfsSize
		}
		if t.Mode == "" {
			t.Mode = defaultTmpfsMode
		}
	}
}
