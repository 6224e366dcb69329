package edit

import "errors"

// Errors that callers distinguish with errors.Is. Their messages are complete: they name the file, the reason and what to do.
var (
	// ErrUneditable marks a manifest that a change can't be spliced into. People can still make the change by hand: Change.String says it.
	ErrUneditable = errors.New("the change can't be written into the manifest")
	// ErrInvalid marks a change with which the manifest would not be valid.
	ErrInvalid = errors.New("the changed manifest would not be valid")
	// ErrChanged marks a file that does not have the content any more that the change was made for. Nothing is written.
	ErrChanged = errors.New("the file changed")
	// ErrReadOnly marks a file system that is read-only.
	ErrReadOnly = errors.New("the file system is read-only")
	// ErrNoSpace marks a file system, or a quota, without space for the new content. The file keeps the old one.
	ErrNoSpace = errors.New("there is no space left")
	// ErrNotReplaceable marks a file that can't be replaced without loss: it has several hard links, belongs to somebody else, is
	// immutable or a mount point, or is published by Kubernetes.
	ErrNotReplaceable = errors.New("the file can't be replaced")
)
