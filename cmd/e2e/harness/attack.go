package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/state/engine/selfimage"
)

// Arm puts the attacker into the images that the Env's bottles are made of: bottled's own, and AgentImage, whose user is
// root then. Use it after On: the images of the machine's own engine are others', too.
func (e *Env) Arm() {
	e.tb.Helper()
	builtin, err := selfimage.Of(Binary(e.tb), "bottled")
	e.must(err)
	dir := e.tb.TempDir()
	CopyAttacker(e.tb, filepath.Join(dir, "attacker"), 0o555)
	e.must(copyFile(filepath.Join(dir, "bottled"), Binary(e.tb)))
	e.build(builtin.Ref, dir, "FROM scratch\nCOPY bottled attacker /\nUSER 65532:65532\nENTRYPOINT [\"/bottled\"]\n")
	e.build(AgentImage, dir, "FROM "+AgentImage+"\nCOPY attacker /\nUSER 0\n")
}

// CopyAttacker puts the attacker into a file.
func CopyAttacker(tb testing.TB, path string, mode fs.FileMode) {
	tb.Helper()
	if err := errors.Join(copyFile(path, Program(tb, "cmd/e2e/harness/attacker")), os.Chmod(path, mode)); err != nil {
		tb.Fatal(err)
	}
}

// Attempt is what the attacker reports of one thing that it tried.
type Attempt struct {
	Name    string `json:"name"`
	Granted bool   `json:"granted"` // it got what it wanted
	Error   string `json:"error"`
}

// Attack runs the attacker in a running container. That it could not even try fails the test.
func (e *Env) Attack(container string, args ...string) []Attempt {
	e.tb.Helper()
	return e.attack("", append([]string{"exec", container, "/attacker"}, args...)...)
}

// AttackAs runs another file of the attacker's as another user ("uid:gid").
func (e *Env) AttackAs(user, container, path string, args ...string) []Attempt {
	e.tb.Helper()
	return e.attack("", append([]string{"exec", "--user", user, container, path}, args...)...)
}

// AttackWith is an Attack that reads something.
func (e *Env) AttackWith(input, container string, args ...string) []Attempt {
	e.tb.Helper()
	return e.attack(input, append([]string{"exec", "-i", container, "/attacker"}, args...)...)
}

// AttackFrom runs the attacker in a container of its own, made with options of `docker run`.
func (e *Env) AttackFrom(options []string, args ...string) []Attempt {
	e.tb.Helper()
	run := append([]string{"run", "--rm", "--entrypoint", "/attacker"}, options...)
	return e.attack("", append(append(run, AgentImage), args...)...)
}

func (e *Env) attack(input string, docker ...string) []Attempt {
	e.tb.Helper()
	cmd := e.DockerCommand(docker...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		e.tb.Fatalf("docker %s: %v\n%s%s", strings.Join(docker, " "), err, stdout.String(), stderr.String())
	}
	var attempts []Attempt
	for decoder := json.NewDecoder(&stdout); decoder.More(); {
		var a Attempt
		e.must(decoder.Decode(&a))
		attempts = append(attempts, a)
	}
	return attempts
}
