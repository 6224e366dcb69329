// Package pipelock is the built-in egress proxy, the only way out of a bottle that uses the built-in image. It enforces the pipelock.yaml of
// the official pipelock, as far as package pipelockconf supports it, and refuses to load a file with unsupported settings.
package pipelock
