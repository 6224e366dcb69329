// Package source reads manifests: it finds the files of a directory, makes one snapshot of them, and watches them for changes.
// What an agent can write is not read.
package source
