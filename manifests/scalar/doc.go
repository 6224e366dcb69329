// Package scalar validates single values of a manifest: host names, quantities, file paths and texts that hold a secret.
// Its problems quote a value only where that shows no secret, and suggest what was probably meant. It is pure.
package scalar
