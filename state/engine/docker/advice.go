package docker

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/bot-bottle/bottled/state/engine"
)

// initName is the program that Docker runs as a container's init, unless its init-path is another one.
const initName = "docker-init"

// Advice about errors of the engine that say what failed, and not what to do.
const (
	imageAdvice   = "load the image (docker load), build it, or log in to its registry (docker login)"
	baseAdvice    = "the base image could not be pulled: load it (docker load), or log in to its registry (docker login)"
	initAdvice    = "agents need the engine's init, which reaps orphans: install it (Debian and Ubuntu: apt-get install tini; Docker's own packages contain it)"
	gpuAdvice     = "GPUs need their vendor's container toolkit on this host (nvidia-container-toolkit), and a restart of the engine"
	userAdvice    = "the image has no such user or group: write numbers, like \"1000:1000\", or add it to the image"
	runtimeAdvice = "docker info lists this engine's runtimes; gVisor's is usually called runsc"
)

// adviseImage adds what to do about an image that can't be pulled, unless the engine itself is gone.
func adviseImage(err error) error {
	if err == nil || isUnavailable(err) {
		return err
	}
	return fmt.Errorf("%w; %s", err, imageAdvice)
}

// adviseRuntime adds what to do about an unknown runtime.
func adviseRuntime(err error) error {
	if text := strings.ToLower(err.Error()); strings.Contains(text, "unknown runtime specified") || strings.Contains(text, "unknown or invalid runtime name") {
		return fmt.Errorf("%w; %s", err, runtimeAdvice)
	}
	return err
}

// explainStart adds what to do about a start that failed, and marks the error of a command that a runtime could not execute: of a
// container without an init.
func explainStart(err error) error {
	text := err.Error()
	has := func(words string) bool { return strings.Contains(text, words) }
	switch {
	case has(initName):
		return fmt.Errorf("%w; %s", err, initAdvice)
	case has("could not select device driver"):
		return fmt.Errorf("%w; %s", err, gpuAdvice)
	case has("no matching entries in passwd file"), has("no matching entries in group file"):
		return fmt.Errorf("%w; %s", err, userAdvice)
	case !has(`exec: "`) && !has("executable"):
		return err
	case has("executable file not found"), has("no such file or directory"):
		return fmt.Errorf("%w: %w", engine.ErrNoCommand, err)
	case has("permission denied"), has("is a directory"), has("exec format error"):
		return fmt.Errorf("%w: %w", engine.ErrNotExecutable, err)
	}
	return err
}

var fromStep = regexp.MustCompile(`^Step \d+/\d+ : FROM `)

// adviseBase is the advice for a build that failed at a FROM, which needs the base image; "" for another one.
func adviseBase(output []string) string {
	if len(output) == 0 || !fromStep.MatchString(output[len(output)-1]) {
		return ""
	}
	return "; " + baseAdvice
}
