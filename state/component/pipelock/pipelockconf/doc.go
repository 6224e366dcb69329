// Package pipelockconf knows the shape of pipelock.yaml: which keys bottled writes, what they mean, and
// how the file is read again. The same file drives the official pipelock 2.3.0 and the built-in proxy;
// every key is one of the official program's (docs/configuration.md and internal/config/schema.go of
// that version), which rejects unknown ones just as Parse does.
package pipelockconf
