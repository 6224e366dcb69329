package reconciler

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Traffic is what a bottle's sidecars refused since the controller started, as they report it: a sidecar that was taken over may
// report anything.
type Traffic struct {
	Denied    uint64 `json:"denied"`    // requests that pipelock denied
	DLPBlocks uint64 `json:"dlpBlocks"` // of them, those that seemed to leak data
	// DeniedHosts are the hosts that were denied most often, at most ten.
	DeniedHosts []DeniedHost `json:"deniedHosts,omitempty"`
	// CredentialRejections counts the requests whose credential the upstream did not accept or that could not be sent.
	CredentialRejections uint64 `json:"credentialRejections"`
	// RejectedCredentials are the routes whose credential does not work now.
	RejectedCredentials []RejectedCredential `json:"rejectedCredentials,omitempty"`
}

// DeniedHost is a host with a reason for which requests to it were denied.
type DeniedHost struct {
	Host  string    `json:"host"`
	Code  string    `json:"code"` // as in the audit log, or "other"
	Count uint64    `json:"count"`
	Last  time.Time `json:"last"`
}

// RejectedCredential is a route whose credential does not work.
type RejectedCredential struct {
	Route    string `json:"route"`
	Upstream string `json:"upstream,omitempty"` // its host
	Problem  string `json:"problem"`
}

// maxRejectedShown limits the routes in a message.
const maxRejectedShown = 5

// RejectedMessage describes the routes whose credentials don't work, for people; "" when there are none.
func (t *Traffic) RejectedMessage() string {
	if t == nil {
		return ""
	}
	var routes []string
	for i, r := range t.RejectedCredentials {
		if i == maxRejectedShown {
			routes = append(routes, fmt.Sprintf("%d more routes", len(t.RejectedCredentials)-i))
			break
		}
		routes = append(routes, fmt.Sprintf("route %s (%s): %s", r.Route, cmp.Or(r.Upstream, "upstream unknown"), r.Problem))
	}
	return strings.Join(routes, "; ")
}
