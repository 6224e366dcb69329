package v1alpha1

import (
	"path/filepath"
	"strings"
)

// Markdown is the extension of claude-bottle's files.
const Markdown = ".md"

// IsMarkdown reports whether a path is that of a Markdown file.
func IsMarkdown(path string) bool { return strings.EqualFold(filepath.Ext(path), Markdown) }

// Spell is a field of the manifest as the bottle's file spells it: a claude-bottle file has other names.
func (s Source) Spell(field string) string {
	if IsMarkdown(s.Path) {
		return LegacyField(field)
	}
	return field
}

// LegacyField is the name that a field has in a claude-bottle file.
func LegacyField(field string) string {
	if name, is := strings.CutPrefix(field, EnvField); is { // whose keys are anybody's
		return "env" + name
	}
	if !strings.HasPrefix(field, "spec.") && field != "metadata.name" {
		return field // it was found under its own name
	}
	return legacyNames.Replace(field)
}

var legacyNames = strings.NewReplacer(
	"metadata.name", "(file name)",
	"spec.credProxy", "cred_proxy",
	"spec.", "",
	".dlpAction", ".dlp_action",
	".authScheme", ".auth_scheme",
	".token.env", ".token_ref",
	".token", ".token_ref",
	".roles", ".role",
)
