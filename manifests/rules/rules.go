package rules

import (
	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/scalar"
)

// Check decodes a document and reports everything that is wrong in it. One without problems is completed.
func Check(d *parse.Document) {
	if !d.Decode() {
		return
	}
	if d.Policy != nil {
		validatePolicy(d)
		completeAuto(&d.Policy.Spec)
		return
	}
	validate(d)
	if d.IsConvertible() {
		Complete(&d.Bottle)
		warnMounts(d)
		warnPorts(d)
	}
}

// validate validates the values of a decoded document. Fields that are missing or have the wrong form have
// their problems already.
func validate(d *parse.Document) {
	validateMetadata(d)
	private := validateEgress(d)
	validateApprovals(d)
	if d.Bottle.Spec.CredProxy != nil {
		validateCredProxy(d, private)
	}
	if d.Bottle.Spec.Agent != nil {
		validateAgent(d)
	}
	validateServices(d)
	refuseSharedVolumes(d)
}

// validatePath validates the path of a file on the host, and reports whether it is usable.
func validatePath(d *parse.Document, field, path string) bool {
	if !d.Given(field) {
		return false
	}
	if f := scalar.CheckFilePath(path); f != nil {
		d.Report(field, f.Reason, f.Fix)
		return false
	}
	return true
}
