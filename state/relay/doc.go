// Package relay carries TCP connections from the host into a bottle, over a unix socket in a directory that the relay in the bottle
// mounts read-only.
//
// The host listens on the socket and the relay connects to it, so that the host opens nothing that a relay, which may have been taken
// over, could replace. The relay keeps some connections spare. For a client the host takes one, names the target in it ([Host.Dial]), and
// the relay dials that and answers with one byte ([Serve]); from then on the connection carries the client's bytes ([Splice]). A
// connection is used once.
package relay
