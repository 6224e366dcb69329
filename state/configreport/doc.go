// Package configreport is the readiness contract between a sidecar and the controller: the JSON line in a sidecar's log
// that says which configuration the sidecar serves. The sidecars' programs write it, the engines read it.
package configreport
