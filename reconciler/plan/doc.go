// Package plan computes what has to change: the difference between desired and observed state, as a graph of steps with their
// causes. It is pure: no clock, no engine, no file.
package plan
