// Package audit keeps the audit log of a bottle: requests that were allowed or denied, credentials that were used,
// proposals and their answers. It is on the host, where no container can reach it.
//
// A bottle's log is one file of JSON lines, <state dir>/audit/<bottle>.jsonl, to which records are only appended. [Log]
// is that file. [Trail] copies decisions from the sidecars' output into it, within [Limits]; what is missing is counted
// in a [Gap].
package audit
