package manifests

import (
	"fmt"
	"math/big"
	"strings"
)

// The least and most that an engine and its kernel take.
const (
	minMemory   = 6 << 20    // bytes
	minNanoCPUs = 10_000_000 // a hundredth of a CPU
	maxPids     = 1 << 22
)

// DefaultPids is how many processes and threads an agent may have that declares no number: enough for builds and browsers, and
// not enough to keep the host from starting any.
const DefaultPids = 2048

// MemoryBytes is the memory limit in bytes; 0 is none. It is meant for a bottle that Load found valid.
func (r Resources) MemoryBytes() int64 { return scaled(r.Memory, 1) }

// NanoCPUs is the CPU limit in billionths of a CPU; 0 is none. It is meant for a bottle that Load found valid.
func (r Resources) NanoCPUs() int64 { return scaled(r.CPUs, 1e9) }

func (d *document) validateResources(r Resources) {
	const memory, cpus, pids = agentField + ".resources.memory", agentField + ".resources.cpus", agentField + ".resources.pids"
	if f := checkMemory(r.Memory); f != nil && d.given(memory) {
		d.report(memory, f.reason, f.fix)
	}
	if f := checkCPUs(r.CPUs); f != nil && d.given(cpus) {
		d.report(cpus, f.reason, f.fix)
	}
	if d.given(pids) && (r.Pids < 1 || r.Pids > maxPids) {
		d.report(pids, fmt.Sprintf("%d is not a number of processes", r.Pids), fmt.Sprintf("write a number from 1 to %d, or remove it for %d", maxPids, DefaultPids))
	}
}

func checkMemory(text string) *fault {
	bytes := scaled(text, 1)
	switch {
	case !quantityPattern.matches(text):
		return &fault{show(text) + " is not a quantity of memory", memoryFix(text)}
	case bytes < 0:
		return &fault{show(text) + " is more than any host has", "write less, like 2Gi"}
	case bytes < minMemory && strings.HasSuffix(text, "m"):
		return &fault{show(text) + " is thousandths of bytes", "write " + show(strings.TrimSuffix(text, "m")+"Mi") + " for mebibytes"}
	case bytes < minMemory:
		return &fault{show(text) + " is less than the 6Mi that an engine needs", "write more, like 512Mi"}
	}
	return nil
}

// memoryFix knows the ways in which Docker and people write memory.
func memoryFix(text string) string {
	number := strings.TrimRight(text, "bBiI")
	if n := len(number); n > 0 && strings.ContainsRune("kKmMgGtT", rune(number[n-1])) {
		if meant := strings.ToUpper(number) + "i"; quantityPattern.matches(meant) {
			return "did you mean " + show(meant) + "?"
		}
	}
	return "write a number and a unit, like 512Mi or 2Gi"
}

func checkCPUs(text string) *fault {
	nano := scaled(text, 1e9)
	switch {
	case !quantityPattern.matches(text):
		return &fault{show(text) + " is not a quantity of CPUs", `write a number of CPUs, like "2" or "0.5"`}
	case nano < 0:
		return &fault{show(text) + " is more than any host has", `write less, like "2"`}
	case nano < minNanoCPUs:
		return &fault{show(text) + " is less than a hundredth of a CPU", `write "0.01" or more, or remove it for no limit`}
	}
	return nil
}

// The suffixes of Kubernetes quantities, as powers of ten and of two.
var (
	decimalSuffixes = map[string]int{"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
	binarySuffixes  = map[string]uint{"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
)

// scaled is a quantity times a factor, rounded up as Kubernetes does; 0 for text that is no quantity, -1
// when it does not fit. Kubernetes' own parser would add 800 KB to the program.
func scaled(text string, factor int64) int64 {
	if !quantityPattern.matches(text) {
		return 0
	}
	end := strings.LastIndexAny(text, "0123456789") + 1
	number, suffix := text[:end], text[end:]
	value, ok := new(big.Rat).SetString(number + exponent(suffix))
	if !ok {
		return 0
	}
	value.Mul(value, new(big.Rat).SetInt64(factor))
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), binarySuffixes[suffix])))
	result := new(big.Int).Add(value.Num(), new(big.Int).Sub(value.Denom(), big.NewInt(1)))
	if result.Quo(result, value.Denom()); !result.IsInt64() {
		return -1
	}
	return result.Int64()
}

func exponent(suffix string) string {
	if power := decimalSuffixes[suffix]; power != 0 {
		return fmt.Sprintf("e%d", power)
	}
	return ""
}
