// Package sidecar provides what the sidecar programs have in common: a listener that only the bottle's internal network
// reaches, limits on clients, decision logs, and a configuration that is reloaded without dropping a connection.
//
// A sidecar reads its configuration when it starts and on SIGHUP, and at no other time. After each it logs a config event:
//
//	{"event":"config","cause":"signal","config":"sha256:…"}
//
// cause is start or signal. config is the digest of the configuration in force; it covers no secrets. When a new configuration
// is refused, error says why and the digest is that of the old one. The controller waits for the event: it is the acknowledgement of a reload.
package sidecar
