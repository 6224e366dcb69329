package resolve

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests/rules"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// readDevices resolves and checks the sources of the agent's devices.
func (r Reader) readDevices(in *Inputs, m v1alpha1.Bottle) []*InputError {
	if m.Spec.Agent == nil {
		return nil
	}
	var failed []*InputError
	for i, device := range m.Spec.Agent.Devices {
		source, err := r.resolveDevice(device)
		if err != nil {
			failed = append(failed, inputError(m, fmt.Sprintf("%s[%d].source", v1alpha1.DevicesField, i), fmt.Errorf("%s: %w", device.Source, err)))
			continue
		}
		if in.Devices == nil {
			in.Devices = map[string]string{}
		}
		in.Devices[device.Source] = source
	}
	return failed
}

// resolveDevice returns the path of a device without symbolic links. Where bottled runs in a container it has no devices to look at, and
// takes those that need no consent by their name.
func (r Reader) resolveDevice(device v1alpha1.Device) (string, error) {
	if err := r.Settings.CheckShared(device.Source); err != nil {
		return device.Source, rules.CheckDevicePath(device)
	}
	o, err := r.Writable.Open(device.Source)
	if err != nil {
		return "", missing(unwrapPathError(err), "plug it in, load its driver, or correct the path")
	}
	defer o.Close()
	return o.Real, rules.CheckDevice(o, device)
}
