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

// current is the bottle's current configuration, as far as the agent is allowed to see it.
type current struct {
	routes     []route.Route
	allowlist  []string
	private    []string // CIDRs of reachable private addresses
	dockerfile string   // empty if bottled does not build the agent
}

const maxCurrentBytes = 1 << 20

// errNoCurrentConfig is returned if the current configuration is not mounted. Proposals are then not checked against it.
var errNoCurrentConfig = errors.New("the bottle's host does not show its current configuration here")

// readCurrent reads the directory. It is small, so every call reads it again instead of caching it.
func readCurrent(dir string) (current, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return current{}, errNoCurrentConfig
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
