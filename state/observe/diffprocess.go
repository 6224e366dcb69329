package observe

import (
	"path"
	"slices"
	"strconv"

	"github.com/docker/go-units"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// compareProcess compares what is declared about a container's process and its surroundings.
func (d *Drift) compareProcess(want, got state.Container, defaults engine.ImageDefaults) {
	workDir := want.WorkDir
	if workDir == "" {
		workDir = defaults.WorkDir
	}
	d.compareText("workdir", cleanDir(got.WorkDir), cleanDir(workDir))
	if want.Hostname != "" {
		d.compareText("hostname", got.Hostname, want.Hostname)
	}
	d.compareText("tty", strconv.FormatBool(got.TTY), strconv.FormatBool(want.TTY))
	d.compareText("stdin", strconv.FormatBool(got.Stdin), strconv.FormatBool(want.Stdin))
	d.compareText("stopGracePeriod", got.StopTimeout().String(), want.StopTimeout().String())
	if got.ShmSize != want.ShmSize {
		d.addRecreate("shmSize", formatShm(got.ShmSize), formatShm(want.ShmSize))
	}
	d.compareSet("extraHosts", got.Hosts, want.Hosts)
	d.compareSet("tmpfs", texts(got.Tmpfs), texts(want.Tmpfs))
	d.compareSet("devices", texts(got.Devices), texts(want.Devices))
	d.compareText("gpus", got.GPUs.String(), want.GPUs.String())
}

// cleanDir returns a working directory as engines show it: some clean it, and show / for none.
func cleanDir(dir string) string { return path.Join("/", dir) }

func formatShm(bytes int64) string {
	if bytes == 0 {
		return "the default"
	}
	return units.BytesSize(float64(bytes))
}

func texts[T interface{ String() string }](list []T) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = v.String()
	}
	return all
}

// compareRights reports devices and GPUs of a container that the declaration does not have.
func (d *Drift) compareRights(want, got state.Container) {
	declared := texts(want.Devices)
	for _, device := range texts(got.Devices) {
		if !slices.Contains(declared, device) {
			d.addRecreate("devices", device, "(none)")
		}
	}
	if none := (state.GPUs{}).String(); got.GPUs.String() != none {
		d.compareText("gpus", got.GPUs.String(), want.GPUs.String())
	}
}
