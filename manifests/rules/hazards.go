package rules

import (
	"bufio"
	"bytes"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// What must not be mounted in an agent, since it gives the host away. Some of it is never mounted; the rest is where the mount says
// allowDangerous: true.

const (
	mountFix = "mount a directory with nothing in it but what the agent works on"
	allowFix = mountFix + "; or, if you accept that, set allowDangerous: true for this mount"
)

// closedSources are directories of the host from which a container can take the host over: neither they nor anything below them
// is mounted, whatever a manifest says.
var closedSources = []string{
	"/proc", "/sys", "/dev", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet",
	"/run/docker", "/run/containerd", "/var/run/docker", "/var/run/containerd",
}

// wholeSources are directories that contain one of those, or sockets and directories of everybody: what is below may be mounted.
var wholeSources = []string{"/", "/run", "/var", "/var/run", "/var/lib", "/tmp", "/var/tmp", "/home", "/Users", "/mnt", "/media"}

// hazard is a directory of the host that is dangerous to mount.
type hazard struct {
	path     string
	below    bool // so is everything below it
	readOnly bool // also for an agent that may only read it
	why      string
}

const (
	runsOnHost = "the agent could change what runs on this host"
	hostSecret = "it holds secrets of this host"
)

var hazards = []hazard{
	{"/etc", false, true, "it holds the accounts and secrets of this host"},
	{"/etc", true, false, "the agent could change how this host is set up"},
	{"/etc/shadow", true, true, hostSecret},
	{"/etc/gshadow", true, true, hostSecret},
	{"/etc/sudoers", true, true, hostSecret},
	{"/etc/sudoers.d", true, true, hostSecret},
	{"/etc/ssh", true, true, hostSecret},
	{"/etc/ssl/private", true, true, hostSecret},
	{"/etc/letsencrypt", true, true, hostSecret},
	{"/etc/docker", true, true, hostSecret},
	{"/etc/kubernetes", true, true, hostSecret},
	{"/etc/wireguard", true, true, hostSecret},
	{"/etc/krb5.keytab", true, true, hostSecret},
	{"/etc/NetworkManager/system-connections", true, true, hostSecret},
	{"/usr", false, true, "it is the host's system"},
	{"/usr", true, false, runsOnHost},
	{"/bin", true, false, runsOnHost},
	{"/sbin", true, false, runsOnHost},
	{"/lib", true, false, runsOnHost},
	{"/lib32", true, false, runsOnHost},
	{"/lib64", true, false, runsOnHost},
	{"/libx32", true, false, runsOnHost},
	{"/boot", true, true, "the host starts from it"},
	{"/efi", true, true, "the host starts from it"},
	{"/opt", true, false, runsOnHost},
	{"/nix", true, false, runsOnHost},
	{"/snap", true, false, runsOnHost},
	{"/srv", false, false, "the agent could change what this host serves"},
	{"/run", true, true, "it holds sockets and secrets of the host's services"},
	{"/var/run", true, true, "it holds sockets and secrets of the host's services"},
	{"/var/spool", true, false, runsOnHost},
	{"/var/lib/dpkg", true, false, runsOnHost},
	{"/var/lib/rpm", true, false, runsOnHost},
	{"/var/lib/systemd", true, false, runsOnHost},
}

// engineSockets are the names of sockets with which an agent could do anything on the host.
var engineSockets = []string{"docker.sock", "containerd.sock", "podman.sock", "crio.sock", "cri-dockerd.sock", "buildkitd.sock", "docker.raw.sock"}

// credentialPaths are files and directories of credentials, by the end of their path.
var credentialPaths = []string{
	".ssh", ".gnupg", ".aws", ".kube", ".docker", ".azure", ".oci", ".netrc", ".git-credentials", ".pgpass", ".my.cnf", ".pypirc",
	".password-store", ".vault-token", ".config/gcloud", ".config/gh", ".config/hub", ".config/op", ".config/tea", ".config/git/credentials",
	".config/containers/auth.json", ".config/google-chrome", ".config/chromium", ".mozilla", ".terraform.d/credentials.tfrc.json",
	".local/share/keyrings", ".cargo/credentials.toml", ".cargo/credentials",
}

// homeParts are directories of a home that hold such credentials among other things.
var homeParts = []string{".config", ".local", ".local/share", ".cargo", ".terraform.d"}

// judgePath judges a source by its path. It is asked about the path as written and about the one without symbolic links.
func judgePath(source string, m v1alpha1.Mount) *scalar.Fault {
	source = filepath.ToSlash(filepath.Clean(source))
	switch socket := slices.Contains(engineSockets, path.Base(source)); {
	case socket && !m.AllowDangerous:
		return scalar.NewFault("with the engine's socket the agent could do anything on the host", "remove this mount")
	case !socket && (slices.Contains(wholeSources, source) || isBelow(source, closedSources)):
		return scalar.NewFault("with "+scalar.Quote(source)+" the agent could leave its sandbox", mountFix)
	case m.AllowDangerous:
		return nil
	}
	for _, h := range hazards {
		if (source == h.path || h.below && isBelow(source, []string{h.path})) && (h.readOnly || !m.ReadOnly) {
			return scalar.NewFault(scalar.Quote(source)+" is dangerous to mount: "+h.why, allowFix)
		}
	}
	if isHome(source) {
		return scalar.NewFault(scalar.Quote(source)+" is a whole home directory, with the credentials in it", allowFix)
	}
	for _, c := range credentialPaths {
		if strings.Contains(source+"/", "/"+c+"/") {
			return scalar.NewFault(scalar.Quote(source)+" holds credentials", allowFix)
		}
	}
	for _, part := range homeParts {
		if home, ok := strings.CutSuffix(source, "/"+part); ok && isHome(home) {
			return scalar.NewFault(scalar.Quote(source)+" holds credentials", allowFix)
		}
	}
	return nil
}

// judgeType judges a source by what it is. What is in it does not count: much of that an agent wrote.
func judgeType(o *safepath.Object, m v1alpha1.Mount) *scalar.Fault {
	switch mode := o.Info.Mode(); {
	case mode.IsRegular(), mode.IsDir():
		return nil
	case mode&fs.ModeSocket != 0 && m.AllowDangerous:
		return nil
	case mode&fs.ModeSocket != 0:
		return scalar.NewFault("it is a socket: behind it a program of this host does what the agent asks", allowFix)
	}
	return scalar.NewFault("it is neither a directory nor a file", mountFix)
}

// isHome reports whether a path is the home directory of a user of this host.
func isHome(source string) bool {
	if source == "/root" || slices.Contains(homes(), source) {
		return true
	}
	parent := path.Dir(source)
	return parent == "/home" || parent == "/Users" || parent == "/var/home"
}

// maxPasswd is the size in bytes above which /etc/passwd is not read.
const maxPasswd = 1 << 20

// homes returns the home directories of this process and of the people in /etc/passwd.
var homes = sync.OnceValue(func() []string {
	var found []string
	if home, err := os.UserHomeDir(); err == nil && home != "/" {
		found = append(found, path.Clean(home))
	}
	data, err := safepath.Set{}.ReadFile("/etc/passwd", maxPasswd)
	if err != nil {
		return found // other systems keep their users elsewhere
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 7 {
			continue
		}
		// System users may have a directory for a home that others work in.
		if uid, err := strconv.Atoi(fields[2]); err == nil && uid >= 1000 && uid < 65534 && path.IsAbs(fields[5]) && fields[5] != "/" {
			found = append(found, path.Clean(fields[5]))
		}
	}
	return found
})
