// Package credproxy is the sidecar that gives an agent's requests the tokens that the agent never sees:
// a reverse proxy with named routes, whose only way out is pipelock.
package credproxy
