// Package pipelock is the built-in egress proxy: the only way out of a bottle when the image of its
// pipelock sidecar is the built-in one. It enforces the same pipelock.yaml as the official pipelock, to
// the extent that package pipelockconf says, and refuses to load a file that asks for more.
package pipelock
