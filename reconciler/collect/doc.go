// Package collect polls the output of all sidecars and copies their decisions into the audit logs ([Collector]). It
// reads from the engine and writes only to package audit's files.
package collect
