// Package api is the HTTP API of a running controller, server and client: HTTP/1.1 on a unix socket and, read-only, on a loopback
// address.
//
//	GET  /healthz           200 while it runs
//	GET  /readyz            200, or 503 with the reason
//	GET  /metrics           in Prometheus' text format
//	GET  /v1/status         reconciler.Status as JSON
//	GET  /v1/status/stream  server-sent events "status", each with the whole reconciler.Status: one at once, one after every change
//	GET  /v1/events         the last events of ?bottle=NAME, or of all; only those after ?after=ID
//	GET  /v1/events/stream  server-sent events "event", each with one reconciler.Event: those of /v1/events, then every further one
//	POST /v1/bottles/NAME/ORDER  202: an operator's order (reconciler.Order), of ?component=NAME; the bottle is Reconciling until it is
//	                        carried out
//	GET  /v1/proposals      {"proposals": […]}: reconciler.Proposal as JSON; those that wait or are being carried out and the last answered
//	GET  /v1/proposals/stream  server-sent events "proposals", each with the whole of /v1/proposals
//	GET  /v1/proposals/ID   reconciler.Review as JSON
//	POST /v1/proposals/ID/decision  202: a decision, reconciler.DecisionRequest as JSON with "for" as a text ("2h"), is accepted
//	POST /v1/sync           202: a full resync begins; it is done when controller.syncs has reached the answer's syncs
package api
