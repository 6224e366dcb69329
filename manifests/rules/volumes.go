package rules

import (
	"fmt"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
)

// validateVolumes validates the volumes of one container. targets has what is mounted in it already.
func validateVolumes(d *parse.Document, field string, volumes []v1alpha1.Volume, targets map[string]string) {
	holders := map[string]int{}
	for i, v := range volumes {
		at := parse.ElementOf(field, i)
		validateTarget(d, at+".target", v.Target, parse.ElementOf("volumes", i), targets)
		if !d.Given(at + ".name") {
			continue
		}
		if !v1alpha1.IsName(v.Name) {
			d.Report(at+".name", scalar.Quote(v.Name)+" is not the name of a volume", nameFix(v.Name))
			continue
		}
		if holder, taken := holders[v.Name]; taken {
			d.Report(at+".name", fmt.Sprintf("%s is the name of volumes[%d] too", scalar.Quote(v.Name), holder), "choose another name")
			continue
		}
		holders[v.Name] = i
	}
}

// refuseSharedVolumes reports volumes of one container that another one of the bottle has: what one of them writes must not get into
// the other unasked.
func refuseSharedVolumes(d *parse.Document) {
	holders := map[string]string{}
	claim := func(container, field string, volumes []v1alpha1.Volume) {
		for i, v := range volumes {
			if other := holders[v.Name]; other != "" && other != container {
				d.Report(parse.ElementOf(field, i)+".name", scalar.Quote(v.Name)+" is a volume of "+other+" too", "choose another name")
				continue
			}
			holders[v.Name] = container
		}
	}
	if agent := d.Bottle.Spec.Agent; agent != nil {
		claim("the agent", v1alpha1.VolumesField, agent.Volumes)
	}
	for i, s := range d.Bottle.Spec.Services {
		container := parse.ElementOf("services", i)
		claim(container, parse.ElementOf(v1alpha1.ServicesField, i)+".volumes", s.Volumes)
	}
}
