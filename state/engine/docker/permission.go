package docker

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"github.com/bot-bottle/bottled/state/engine"
)

// permissionError explains that an engine's socket is there and this user may not use it. host is the engine's address.
func permissionError(host string) error {
	who, remedy := "user "+strconv.Itoa(os.Geteuid()), "run bottled as root"
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	if group := socketGroup(strings.TrimPrefix(host, "unix://")); group != "" {
		remedy = fmt.Sprintf("join its group (sudo usermod -aG %s %s) and log in again, or run bottled as root", group, who)
	}
	return unavailableError(fmt.Sprintf("%s may not use the docker engine at %s: %s", who, host, remedy))
}

// unavailableError is [engine.ErrUnavailable] with a text that says more: a controller waits until the cause is gone.
type unavailableError string

func (e unavailableError) Error() string { return string(e) }

func (e unavailableError) Is(target error) bool { return target == engine.ErrUnavailable }

// socketGroup is the name of the group that may use a socket; "" for none, and for root's, which nobody should join.
func socketGroup(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	stat, is := info.Sys().(*syscall.Stat_t)
	if !is || stat.Gid == 0 || info.Mode().Perm()&0o060 != 0o060 {
		return ""
	}
	group, err := user.LookupGroupId(strconv.Itoa(int(stat.Gid)))
	if err != nil {
		return ""
	}
	return group.Name
}
