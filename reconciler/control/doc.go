// Package control is the controller: it watches the manifests and the engine, keeps a queue of bottle names, and runs a
// pass for each ([Controller]). Passes of different bottles run concurrently; failures are retried with backoff; a full
// resync catches what events missed. It publishes status, conditions and metrics.
//
// Controller.pass has the story of one pass.
package control
