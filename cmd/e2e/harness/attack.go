package harness

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	imagebuild "github.com/docker/docker/api/types/build"

	"github.com/bot-bottle/bottled/state/engine/selfimage"
)

// Arm puts the attacker into the images that the Env's bottles are made of: bottled's own, and AgentImage, whose user is
// root then. Use it after On: the images of the machine's own engine are
// others' as well.
func (e *Env) Arm() {
	e.tb.Helper()
	builtin, err := selfimage.Of(Binary(e.tb), "bottled")
	e.must(err)
	attacker := build(e.tb, "cmd/e2e/harness/attacker", &attackerOnce)
	e.must(e.buildImage(builtin.Ref, "FROM scratch\nCOPY bottled attacker /\nUSER 65532:65532\nENTRYPOINT [\"/bottled\"]\n",
		file{"bottled", Binary(e.tb), 0o555}, file{"attacker", attacker, 0o555}))
	e.must(e.buildImage(AgentImage, "FROM "+AgentImage+"\nCOPY attacker /\nUSER 0\n",
		file{"attacker", attacker, 0o555}))
}

// CopyAttacker puts the attacker into a file.
func CopyAttacker(tb testing.TB, path string, mode fs.FileMode) {
	tb.Helper()
	data, err := os.ReadFile(build(tb, "cmd/e2e/harness/attacker", &attackerOnce))
	if err == nil {
		err = errors.Join(os.WriteFile(path, data, 0o600), os.Chmod(path, mode)) //nolint:gosec // where the test says
	}
	if err != nil {
		tb.Fatal(err)
	}
}

type file struct {
	name, path string
	mode       int64
}

// buildImage has the engine's classic builder make an image: it needs no registry.
func (e *Env) buildImage(ref, dockerfile string, files ...file) error {
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	add := func(name string, mode int64, data []byte) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
			return err
		}
		_, err := w.Write(data)
		return err
	}
	failed := add("Dockerfile", 0o444, []byte(dockerfile))
	for _, f := range files {
		data, err := os.ReadFile(f.path)
		failed = errors.Join(failed, err, add(f.name, f.mode, data))
	}
	if err := errors.Join(failed, w.Close()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	made, err := e.Client.ImageBuild(ctx, &archive, imagebuild.ImageBuildOptions{Tags: []string{ref}, Remove: true, ForceRemove: true})
	if err != nil {
		return err
	}
	said, err := io.ReadAll(made.Body)
	if err := errors.Join(err, made.Body.Close()); err != nil {
		return err
	}
	if strings.Contains(string(said), `"errorDetail"`) {
		return fmt.Errorf("build image %s: %s", ref, said)
	}
	return nil
}

// Attempt is what the attacker tells of one thing that it tried.
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
