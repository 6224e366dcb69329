package v1alpha1

import (
	"strconv"
	"time"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// The paths of fields that several rules speak of.
const (
	UserField       = AgentField + ".user"
	ExtraHostsField = AgentField + ".extraHosts"
)

// UserAuto as the user of an agent is the owner of the source of its first writable mount.
const UserAuto = "auto"

// DefaultTmpfsSize is the size of a tmpfs that declares none, as a quantity.
const DefaultTmpfsSize = "64Mi"

// Tmpfs is a file system in memory, which ends with the container's run.
type Tmpfs struct {
	Target string `json:"target" jsonschema_description:"The absolute path in the container."`
	Size   string `json:"size,omitempty" jsonschema_description:"Its size as a Kubernetes quantity. What is in it counts as the container's memory. Unset: 64Mi."`
	Mode   string `json:"mode,omitempty" jsonschema_description:"The permissions of its root directory, in octal digits. Unset: \"1777\", so that every user may write to it."`
}

// SizeBytes is the size in bytes. It is meant for a valid bottle.
func (t Tmpfs) SizeBytes() int64 { return scalar.Quantity(t.Size, 1) }

// Permissions are the permission bits. They are meant for a valid bottle.
func (t Tmpfs) Permissions() uint32 {
	mode, err := strconv.ParseUint(t.Mode, 8, 16)
	if err != nil {
		return 0
	}
	return uint32(mode)
}

// ShmBytes is the size of /dev/shm in bytes; 0 is the default. It is meant for a valid bottle.
func (a *Agent) ShmBytes() int64 { return scalar.Quantity(a.ShmSize, 1) }

// StopGrace is the time between SIGTERM and SIGKILL; 0 is the default. It is meant for a valid bottle.
func (a *Agent) StopGrace() time.Duration { return Duration(a.StopGracePeriod, 0) }

// StopGrace is as an agent's.
func (s Service) StopGrace() time.Duration { return Duration(s.StopGracePeriod, 0) }
