// Package docker implements engine.Engine for the Docker Engine API from 1.41 (Docker 20.10), through Docker's own
// client. It converts between Docker's types and those of package state, and delivers files as bind mounts of this
// host. It makes no decisions: what to change is the planner's business.
//
// No other package but the commands may import it, nor Docker's client.
package docker
