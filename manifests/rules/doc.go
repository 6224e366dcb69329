// Package rules validates manifests. Each section of the spec has its rules in a file of its own; rules between documents are in
// duplicates.go and tokens.go. Schema says as much of them as JSON Schema can.
package rules
