// Package engine is the port to a container engine: small interfaces ([Reader], [Writer], [Delivery], [SessionRuntime])
// and errors, events and states in bottled's words. Package docker implements it for the Docker Engine API, and package
// fake in memory. Package conformance is the test suite that both pass.
//
// Errors name the object and keep the engine's text. Callers distinguish, by errors.Is, [ErrNotFound], [ErrConflict],
// [ErrUnavailable], [ErrEnded], [ErrPaused], [ErrUnhealthy] and [state.ErrMount]. Every method honours its context.
// Methods are safe for concurrent use.
//
// [Intercept] wraps an engine for metrics or fault injection. The package must not import an implementation, nor the
// reconciler.
package engine
