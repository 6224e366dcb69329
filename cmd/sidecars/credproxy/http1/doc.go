// Package http1 serves and makes HTTP/1 requests for a reverse proxy with many streams that wait. It knows nothing of what
// the proxy does with a request.
//
// A Server uses one goroutine for a connection: it reads a request, calls the handler, which makes a request to an upstream
// on a connection of a Pool, and writes the response. A request's body that has not arrived with its header is sent by a
// second goroutine. net/http parses headers and chunks. A guard in front of it refuses requests with ambiguous framing.
//
// docs/decisions/0009-http1.md says why net/http's own server and transport are not used, with measurements of both.
package http1
