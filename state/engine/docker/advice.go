package docker

import (
	"fmt"
	"regexp"
	"strings"
)

// Advice about errors of the engine that say what failed, and not what to do.
const (
	imageAdvice   = "load the image (docker load), build it, or log in to its registry (docker login)"
	baseAdvice    = "the base image could not be pulled: load it (docker load), or log in to its registry (docker login)"
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

var fromStep = regexp.MustCompile(`^Step \d+/\d+ : FROM `)

// adviseBase is the advice for a build that failed at a FROM, which needs the base image; "" for another one.
func adviseBase(output []string) string {
	if len(output) == 0 || !fromStep.MatchString(output[len(output)-1]) {
		return ""
	}
	return "; " + baseAdvice
}
