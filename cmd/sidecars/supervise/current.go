package supervise

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bot-bottle/bottled/manifests/route"
)

// current is what the bottle has now, as the controller tells the agent. It is no secret to the agent.
type current struct {
	routes     []route.Route
	allowlist  []string
	private    []string // ranges that addresses may be in
	dockerfile string   // empty: bottled does not run the agent
}

const maxCurrentBytes = 1 << 20

// errNoCurrent is for a host that shows its bottles no current configuration; its proposals are checked less.
var errNoCurrent = errors.New("the bottle's host does not show its current configuration here")

// readCurrent reads the directory anew for every call: it is small, and what is read is never out of date.
func readCurrent(dir string) (current, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return current{}, errNoCurrent
	}
	var c current
	routes, err := readFile(dir, "routes.json")
	if err != nil {
		return current{}, err
	}
	c.routes, err = route.Parse([]byte(routes))
	if err != nil {
		return current{}, fmt.Errorf("current configuration: %w", err)
	}
	allowlist, err := readFile(dir, "allowlist")
	if err != nil {
		return current{}, err
	}
	private, err := optional(readFile(dir, "private-cidrs"))
	if err != nil {
		return current{}, err
	}
	c.allowlist, c.private = strings.Fields(allowlist), strings.Fields(private)
	c.dockerfile, err = optional(readFile(dir, "Dockerfile"))
	return c, err
}

func optional(text string, err error) (string, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return text, err
}

func readFile(dir, name string) (string, error) {
	file, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return "", fmt.Errorf("current configuration: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxCurrentBytes+1))
	if err == nil && len(data) > maxCurrentBytes {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxCurrentBytes)
	}
	if err != nil {
		return "", fmt.Errorf("current configuration: %w", err)
	}
	return string(data), nil
}
