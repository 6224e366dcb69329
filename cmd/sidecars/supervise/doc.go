// Package supervise is the sidecar through which an agent asks a human for more than its bottle allows: an
// MCP server whose tools queue a proposal and block until it is answered. It makes no outbound calls.
package supervise
