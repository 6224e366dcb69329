// Package configdigest computes the digest of a set of configuration files. The controller and the sidecars both
// compute it, so that a sidecar can report which configuration it serves and the controller can compare that with what
// it wrote.
package configdigest
