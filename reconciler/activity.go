package reconciler

import (
	"time"

	"github.com/bot-bottle/bottled/state"
)

// Activity is what the bottles use and do at present. It is measured only while somebody looks.
type Activity struct {
	Time time.Time `json:"time"`
	// Bottles are by name. A bottle of which nothing is known yet is missing.
	Bottles map[string]BottleActivity `json:"bottles"`
}

// BottleActivity is what one bottle uses and does. The requests are as its sidecars report them: one that was taken over may report
// anything.
type BottleActivity struct {
	CPU         float64             `json:"cpu"`         // in CPUs: 1.5 is one and a half
	Memory      int64               `json:"memory"`      // bytes
	MemoryLimit int64               `json:"memoryLimit"` // bytes, of all its containers; 0 where one has none
	Components  []ComponentActivity `json:"components"`  // those that run
	Requests    uint64              `json:"requests"`    // through pipelock and cred-proxy in the last minute
	Denied      uint64              `json:"denied"`      // of them, refused by pipelock
	// Rejection is the last answer of an upstream that needs somebody's attention: 401, 403 or 429. nil when there was none.
	Rejection *Rejection `json:"rejection,omitempty"`
}

// ComponentActivity is what the container of a component uses.
type ComponentActivity struct {
	Component   state.ComponentName `json:"component"`
	CPU         float64             `json:"cpu"` // in CPUs
	Memory      int64               `json:"memory"`
	MemoryLimit int64               `json:"memoryLimit"` // 0 for none
	Processes   int                 `json:"processes"`
}

// Rejection is an upstream's answer to a request with a credential.
type Rejection struct {
	Route    string    `json:"route"`
	Upstream string    `json:"upstream,omitempty"` // its host
	Status   string    `json:"status"`             // "401", "403" or "429"
	Time     time.Time `json:"time"`
}

// BottleTraffic is what a bottle's sidecars report of its requests since the controller started, by host and by route. Each list is
// bounded, the busiest first; what had no room is counted under the host or route "other".
type BottleTraffic struct {
	Hosts  []HostTraffic  `json:"hosts"`  // of pipelock
	Routes []RouteTraffic `json:"routes"` // of cred-proxy
}

// HostTraffic is what a bottle exchanged with a host.
type HostTraffic struct {
	Host     string            `json:"host"`
	Port     uint16            `json:"port,omitempty"`
	Allowed  uint64            `json:"allowed"` // requests and tunnels
	Denied   uint64            `json:"denied"`
	Sent     uint64            `json:"sent"`            // bytes to the host
	Received uint64            `json:"received"`        // bytes
	Codes    map[string]uint64 `json:"codes,omitempty"` // why requests were denied: how many, by the codes of the audit log
	Last     time.Time         `json:"last"`
}

// RouteTraffic is what a bottle did with a route of cred-proxy, so with a credential.
type RouteTraffic struct {
	Route    string            `json:"route"`
	Upstream string            `json:"upstream,omitempty"` // its host
	Requests uint64            `json:"requests"`
	Failed   uint64            `json:"failed"`             // of them: with status 400 or more, refused or aborted
	Sent     uint64            `json:"sent"`               // bytes of requests
	Received uint64            `json:"received"`           // bytes of responses
	Statuses map[string]uint64 `json:"statuses,omitempty"` // of responses, by class: "2xx"; and 401, 403 and 429 by themselves
	Last     time.Time         `json:"last"`
}
