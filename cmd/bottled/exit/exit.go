// Package exit decides the exit code of bottled. An error carries a kind, and [Code] is the one place that turns kinds into codes.
package exit

import (
	"errors"
	"syscall"
)

// Exit codes.
const (
	Done             = 0 // done and converged
	Failed           = 1
	FoundDifferences = 2 // plan and reconcile --dry-run; check
	BadInput         = 3 // bad usage or bad manifests
)

// Exit codes of run and exec, which end with their command's otherwise. They are docker's.
const (
	NoCommand     = 125 // bottled itself failed
	CannotInvoke  = 126 // the command exists and can't be run
	NotFound      = 127 // the command does not exist
	SignalledFrom = 128 // plus the number of the signal that ended the session
)

// Kind says why a command fails.
type Kind int

// Kinds. An error that has none is a failure.
const (
	KindUsage        Kind = iota + 1 // flags, arguments, settings
	KindInvalid                      // manifests
	KindDifferences                  // a plan has steps, a check refuses
	KindNotFound                     // the command of run or exec
	KindCannotInvoke                 // the command of run or exec
	KindSignalled                    // the command of run or exec, given up
	KindStatus                       // the command of run or exec ended with a code
)

// Error is an error with a kind.
type Error struct {
	Kind   Kind
	Err    error // nil: nothing is printed
	number int   // the signal, or the command's exit code
}

// Error is the text of the error inside.
func (e *Error) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap returns the error inside.
func (e *Error) Unwrap() error { return e.Err }

// Usage marks an error in flags, arguments or settings.
func Usage(err error) error { return &Error{Kind: KindUsage, Err: err} }

// Invalid marks an error in manifests.
func Invalid(err error) error { return &Error{Kind: KindInvalid, Err: err} }

// Differences is how a plan with steps ends, and a check that refuses.
func Differences() error { return &Error{Kind: KindDifferences} }

// CommandNotFound marks the error of a command that does not exist.
func CommandNotFound(err error) error { return &Error{Kind: KindNotFound, Err: err} }

// CommandNotRunnable marks the error of a command that exists and can't be run.
func CommandNotRunnable(err error) error { return &Error{Kind: KindCannotInvoke, Err: err} }

// Signalled marks the error of a session that was given up after a signal.
func Signalled(s syscall.Signal, err error) error {
	return &Error{Kind: KindSignalled, Err: err, number: int(s)}
}

// Status hands on the exit code of a command, nil for success. hint, which may be nil, is printed.
func Status(code int, hint error) error {
	if code == Done {
		return nil
	}
	return &Error{Kind: KindStatus, Err: hint, number: code}
}

// Code is the exit code for an error. runsCommand is set for run and exec.
func Code(err error, runsCommand bool) int {
	if err == nil {
		return Done
	}
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{}
	}
	switch {
	case e.Kind == KindStatus:
		return e.number
	case e.Kind == KindSignalled:
		return SignalledFrom + e.number
	case e.Kind == KindCannotInvoke:
		return CannotInvoke
	case e.Kind == KindNotFound:
		return NotFound
	case runsCommand:
		return NoCommand
	case e.Kind == KindDifferences:
		return FoundDifferences
	case e.Kind == KindUsage, e.Kind == KindInvalid:
		return BadInput
	}
	return Failed
}

// Message is what to print for an error; "" for nothing.
func Message(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Err == nil {
		return ""
	}
	return err.Error()
}
