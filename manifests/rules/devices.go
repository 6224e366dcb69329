package rules

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

const (
	permissionsPattern scalar.Pattern = `^[rwm]{1,3}$`
	devicePattern      scalar.Pattern = `^/dev/[^/]`
	gpuIDPattern       scalar.Pattern = `^[A-Za-z0-9][-A-Za-z0-9:._]{0,127}$`
)

const (
	maxDevices           = 64
	maxGPUs              = 64
	defaultPermissions   = "rw"
	deviceFix            = "name a device of the host, like /dev/dri/renderD128"
	allowDeviceFix       = "leave it out; or, if you accept that, set allowDangerous: true for this device"
	gpusFix              = "write all, a number like 1, or a list of IDs like [GPU-3faa8181] (nvidia-smi -L)"
	dangerousDevice      = "may give the agent power over the host"
	dangerousBlockDevice = "is a disk: with it the agent could read and write all of its files"
)

// ordinaryDevices are those that don't give the host away: a GPU's for computing, and hardware at a serial port.
var ordinaryDevices = regexp.MustCompile(`^/dev/(dri/renderD[0-9]+|kfd|nvidia(ctl|-uvm|-uvm-tools|[0-9]+)|ttyUSB[0-9]+|ttyACM[0-9]+)$`)

func validateDevices(d *parse.Document, agent *v1alpha1.Agent) {
	if len(agent.Devices) > maxDevices {
		d.Report(v1alpha1.DevicesField, fmt.Sprintf("it has more than %d entries", maxDevices), "remove some")
	}
	holders := map[string]int{}
	for i, device := range agent.Devices {
		field := parse.ElementOf(v1alpha1.DevicesField, i)
		reportFault(d, field+".source", func() *scalar.Fault {
			if isDeviceLink(device.Source) {
				return nil
			}
			return judgeDevicePath(device)
		})
		reportFault(d, field+".permissions", func() *scalar.Fault { return checkPermissions(device.Permissions) })
		target := device.Target
		if target == "" {
			target = device.Source
		}
		reportFault(d, field+".target", func() *scalar.Fault { return checkDeviceTarget(target) })
		if holder, taken := holders[target]; taken && target != "" {
			d.Report(field, fmt.Sprintf("%s is in devices[%d] too", scalar.Quote(target), holder), "remove one of them")
		}
		holders[target] = i
	}
	validateGPUs(d, agent.GPUs)
}

func validateGPUs(d *parse.Document, gpus *v1alpha1.GPUs) {
	const field = v1alpha1.GPUsField
	if gpus == nil || !d.Given(field) {
		return
	}
	ids := gpus.IDs
	switch {
	case gpus.IsZero(), gpus.Count > maxGPUs, len(ids) > maxGPUs:
		d.Report(field, fmt.Sprintf("it is no number of GPUs from 1 to %d", maxGPUs), gpusFix)
	case slices.ContainsFunc(ids, func(id string) bool { return !gpuIDPattern.Matches(id) }):
		d.Report(field, "it has an ID that is none", gpusFix)
	case len(ids) != len(slices.Compact(slices.Sorted(slices.Values(ids)))):
		d.Report(field, "it has an ID twice", "remove one of them")
	}
}

// judgeDevicePath judges a device by its path: as written, or without symbolic links.
func judgeDevicePath(device v1alpha1.Device) *scalar.Fault {
	switch source := device.Source; {
	case !devicePattern.Matches(source) || path.Clean(source) != source:
		return scalar.NewFault(scalar.Quote(source)+" is not below /dev", deviceFix)
	case !device.AllowDangerous && !ordinaryDevices.MatchString(source):
		return scalar.NewFault(scalar.Quote(source)+" "+dangerousDevice, allowDeviceFix)
	}
	return nil
}

// isDeviceLink reports whether a path is in a directory where udev makes links. What they lead to is judged where it is resolved.
func isDeviceLink(source string) bool {
	return isBelow(source, []string{"/dev/dri/by-path", "/dev/serial"})
}

// CheckDevicePath is CheckDevice for a host whose devices can't be seen from here.
func CheckDevicePath(device v1alpha1.Device) error { return faultError(judgeDevicePath(device)) }

func faultError(f *scalar.Fault) error {
	if f == nil {
		return nil
	}
	return errors.New(f.Reason + "; " + f.Fix)
}

// CheckDevice says why what a device's source leads to must not be given to an agent; nil when it may.
func CheckDevice(o *safepath.Object, device v1alpha1.Device) error {
	device.Source = o.Real
	mode := o.Info.Mode()
	f := judgeDevicePath(device)
	switch {
	case mode&fs.ModeDevice == 0:
		f = scalar.NewFault("it is no device", deviceFix)
	case mode&fs.ModeCharDevice == 0 && !device.AllowDangerous:
		f = scalar.NewFault(scalar.Quote(o.Real)+" "+dangerousBlockDevice, allowDeviceFix)
	}
	return faultError(f)
}

func checkPermissions(text string) *scalar.Fault {
	letters := strings.Split(text, "")
	slices.Sort(letters)
	if !permissionsPattern.Matches(text) || len(slices.Compact(letters)) != len(text) {
		return scalar.NewFault(scalar.Quote(text)+" is no set of permissions", "write r, w and m, each at most once, like rw")
	}
	return nil
}

func checkDeviceTarget(target string) *scalar.Fault {
	if !devicePattern.Matches(target) || path.Clean(target) != target {
		return scalar.NewFault(scalar.Quote(target)+" is not below /dev", "write a path like /dev/dri/renderD128, or leave it out")
	}
	return nil
}

// completeDevices fills in defaults.
func completeDevices(agent *v1alpha1.Agent) {
	for i := range agent.Devices {
		device := &agent.Devices[i]
		if device.Target == "" {
			device.Target = device.Source
		}
		if device.Permissions == "" {
			device.Permissions = defaultPermissions
		}
	}
}
