// Package ingress is the program of the sidecar through which the host reaches ports of the agent. It connects to the host's socket and, as
// the host says, to a component of the bottle (package state/relay). It listens nowhere.
package ingress
