package enginetest

import (
	"fmt"
	"os"
	"path/filepath"
)

// Image builds an image that goes with the test's process, and returns its reference. dockerfile is what it has behind
// FROM AgentImage, files are its context.
func (e *Env) Image(name, dockerfile string, files map[string]string) string {
	e.tb.Helper()
	ref := agentRepository + "-" + name + ":latest"
	fmt.Fprintln(watchdogInput, "image", ref)
	context := e.tb.TempDir()
	write := func(name, content string) {
		path := filepath.Join(context, name)
		e.must(os.MkdirAll(filepath.Dir(path), 0o755))     //nolint:gosec // as a user has it
		e.must(os.WriteFile(path, []byte(content), 0o644)) //nolint:gosec // as a user has it
	}
	for name, content := range files {
		write(name, content)
	}
	write("Dockerfile", "FROM "+AgentImage+"\n"+dockerfile)
	e.Docker("build", "--tag", ref, context)
	return ref
}
