package scalar

import "strings"

// Fault is what is wrong with a value and what to do about it.
type Fault struct{ Reason, Fix string }

// NewFault returns a fault.
func NewFault(reason, fix string) *Fault { return &Fault{reason, fix} }

// SecretFix is the advice about a secret in a manifest.
const SecretFix = "remove it, and revoke it if others could read this file; a token belongs into an environment variable or a file that a route names: token: {env: NAME} or {file: PATH}"

// CheckText validates any text of a document: it holds no known secret and no NUL character.
func CheckText(text string) *Fault {
	if kind := SecretKind(text); kind != "" {
		return &Fault{"it holds " + kind, SecretFix}
	}
	if strings.ContainsRune(text, 0) {
		return &Fault{"the text contains a NUL character", "remove it"}
	}
	return nil
}

// CheckFilePath validates the path of a file of the host as a manifest writes it.
func CheckFilePath(path string) *Fault {
	switch {
	case path == "":
		return &Fault{"the path is empty", "write a path, absolute or relative to this file"}
	case strings.HasPrefix(path, "~"):
		return &Fault{"~ is not expanded: bottled may run as another user", "write the absolute path, or one relative to this file"}
	case strings.Contains(path, "$"):
		return &Fault{"variables are not expanded in paths", "write the absolute path, or one relative to this file"}
	}
	return nil
}
