package rules

import (
	"fmt"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// The least and most that an engine and its kernel take.
const (
	minMemory   = 6 << 20    // bytes
	minNanoCPUs = 10_000_000 // a hundredth of a CPU
	maxPids     = 1 << 22
)

func validateResources(d *parse.Document, field string, r v1alpha1.Resources) {
	memory, cpus, pids := field+".memory", field+".cpus", field+".pids"
	if f := checkMemory(r.Memory); f != nil && d.Given(memory) {
		d.Report(memory, f.Reason, f.Fix)
	}
	if f := checkCPUs(r.CPUs); f != nil && d.Given(cpus) {
		d.Report(cpus, f.Reason, f.Fix)
	}
	if d.Given(pids) && (r.Pids < 1 || r.Pids > maxPids) {
		d.Report(pids, fmt.Sprintf("%d is not a number of processes", r.Pids), fmt.Sprintf("write a number from 1 to %d, or remove it for %d", maxPids, v1alpha1.DefaultPids))
	}
}

func checkMemory(text string) *scalar.Fault {
	bytes := scalar.Quantity(text, 1)
	switch {
	case !scalar.QuantityPattern.Matches(text):
		return scalar.NewFault(scalar.Quote(text)+" is not a quantity of memory", scalar.SuggestQuantity(text))
	case bytes < 0:
		return scalar.NewFault(scalar.Quote(text)+" is more than any host has", "write less, like 2Gi")
	case bytes < minMemory && strings.HasSuffix(text, "m"):
		return scalar.NewFault(scalar.Quote(text)+" is thousandths of bytes", "write "+scalar.Quote(strings.TrimSuffix(text, "m")+"Mi")+" for mebibytes")
	case bytes < minMemory:
		return scalar.NewFault(scalar.Quote(text)+" is less than the 6Mi that an engine needs", "write more, like 512Mi")
	}
	return nil
}

func checkCPUs(text string) *scalar.Fault {
	nano := scalar.Quantity(text, 1e9)
	switch {
	case !scalar.QuantityPattern.Matches(text):
		return scalar.NewFault(scalar.Quote(text)+" is not a quantity of CPUs", `write a number of CPUs, like "2" or "0.5"`)
	case nano < 0:
		return scalar.NewFault(scalar.Quote(text)+" is more than any host has", `write less, like "2"`)
	case nano < minNanoCPUs:
		return scalar.NewFault(scalar.Quote(text)+" is less than a hundredth of a CPU", `write "0.01" or more, or remove it for no limit`)
	}
	return nil
}
