package manifests

import (
	"github.com/bot-bottle/bottled/manifests/scalar"
)

// Check decodes a document and reports everything that is wrong in it. One without problems is completed.
func Check(d *document) {
	if !d.load() {
		return
	}
	validate(d)
	if d.isConvertible() {
		Complete(&d.bottle)
		warnMounts(d)
	}
}

// validate validates the values of a decoded document. Fields that are missing or have the wrong form have
// their problems already.
func validate(d *document) {
	validateMetadata(d)
	private := validateEgress(d)
	if d.bottle.Spec.CredProxy != nil {
		validateCredProxy(d, private)
	}
	if d.bottle.Spec.Agent != nil {
		validateAgent(d)
	}
}

// validatePath validates the path of a file of the host, and tells whether it is usable.
func validatePath(d *document, field, path string) bool {
	if !d.given(field) {
		return false
	}
	if f := scalar.CheckFilePath(path); f != nil {
		d.report(field, f.Reason, f.Fix)
		return false
	}
	return true
}
