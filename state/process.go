package state

import (
	"fmt"
	"strings"
	"time"
)

// DefaultStopGrace is the time between SIGTERM and SIGKILL for a container that declares none, as with `docker stop`.
const DefaultStopGrace = 10 * time.Second

// Tmpfs is a file system in a container's memory.
type Tmpfs struct {
	Target string
	Size   int64  // bytes
	Mode   uint32 // permission bits
}

// String returns the tmpfs in the syntax of `docker run --tmpfs`.
func (t Tmpfs) String() string { return fmt.Sprintf("%s:size=%d,mode=%o", t.Target, t.Size, t.Mode) }

// Device is a device of the host that a container may use.
type Device struct {
	Source, Target string
	Permissions    string // of r, w and m
}

// String returns the device in the syntax of `docker run --device`.
func (d Device) String() string { return d.Source + ":" + d.Target + ":" + d.Permissions }

// AllGPUs as the count of GPUs is all that the engine has.
const AllGPUs = -1

// GPUs are the GPUs that a container may use: some or, by their IDs, certain ones.
type GPUs struct {
	Count int64    `json:",omitempty"`
	IDs   []string `json:",omitempty"`
}

// String returns the GPUs in the syntax of `docker run --gpus`.
func (g GPUs) String() string {
	switch {
	case g.Count == AllGPUs:
		return "all"
	case len(g.IDs) > 0 && g.Count == 0:
		return "device=" + strings.Join(g.IDs, ",")
	}
	return strings.Join(append([]string{fmt.Sprint(g.Count)}, g.IDs...), ",")
}

// StopTimeout is the time between SIGTERM and SIGKILL.
func (c Container) StopTimeout() time.Duration {
	if c.StopGrace == 0 {
		return DefaultStopGrace
	}
	return c.StopGrace
}
