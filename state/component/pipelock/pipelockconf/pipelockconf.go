package pipelockconf

import (
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/route"
)

// Version is the official pipelock whose schema this is.
const Version = "2.3.0"

// ModeStrict is the only mode in which the official program enforces the allowlist.
const ModeStrict = "strict"

// NoRateLimit is far above what one bottle can ask for, since the official program has no setting for
// no limit. Its default, 60 requests a minute for a whole registrable domain, stops the first
// `npm install`.
const NoRateLimit = 1_000_000_000

// The bounds that bottled sets.
const (
	// tunnelSeconds is how long a tunnel may live in all. The default, five minutes, cuts off long
	// answers of language models and big clones.
	tunnelSeconds = 7 * 24 * 60 * 60
	// idleSeconds is how long a tunnel may be silent. The official program counts each direction on its
	// own and closes a tunnel in whose quiet direction nothing came for that long, though the other is
	// busy: the default of two minutes ends a stream that the client only listens to.
	idleSeconds = 60 * 60
	// exchangeSeconds is how long one plain HTTP request and its answer may take in all (default 30).
	exchangeSeconds = 24 * 60 * 60
	// urlBytes is the longest URL (default 2048, less than a registry's or a forge's cursors).
	urlBytes = 16 << 10
	// bodyBytes is the largest request body over plain HTTP, unless a route of cred-proxy allows more; larger ones are refused. Language
	// model APIs take up to 32 MB (default 5 MiB).
	bodyBytes = route.DefaultMaxRequestBody
	// eventBytes is the largest server-sent event; a larger one ends its stream. Some language model APIs
	// repeat the whole answer in the last event (default 64 KiB).
	eventBytes = 4 << 20
)

// nobody stands in for an empty allowlist, which the official program refuses in strict mode. The
// top-level domain .invalid never resolves (RFC 6761).
const nobody = "nothing-is-allowed.invalid"

// IsOwnName reports whether a host is one of the bottle's components that an agent asks by name. The built-in proxy lets these
// names, and no others, resolve into the internal network.
func IsOwnName(host string) bool { return contract.IsReachable(host) }

// Config is pipelock.yaml. A nil pointer is a key left out: the official program then uses its default.
type Config struct {
	Mode                string               `yaml:"mode"`
	Enforce             *bool                `yaml:"enforce,omitempty"`
	ExplainBlocks       *bool                `yaml:"explain_blocks,omitempty"`
	APIAllowlist        []string             `yaml:"api_allowlist"`
	ForwardProxy        ForwardProxy         `yaml:"forward_proxy"`
	FetchProxy          FetchProxy           `yaml:"fetch_proxy,omitempty"`
	RequestBodyScanning *RequestBodyScanning `yaml:"request_body_scanning,omitempty"`
	DLP                 *DLP                 `yaml:"dlp,omitempty"`
	ResponseScanning    *ResponseScanning    `yaml:"response_scanning,omitempty"`
	MediaPolicy         *Switch              `yaml:"media_policy,omitempty"`
	TLSInterception     *Switch              `yaml:"tls_interception,omitempty"`
	SSRF                SSRF                 `yaml:"ssrf,omitempty"`
	Suppress            []Suppress           `yaml:"suppress,omitempty"`
}

// Suppress lets a rule's matches pass in requests to URLs that begin with Path. Only the built-in proxy gets entries: the rules of the
// official program have other names.
type Suppress struct {
	Rule string `yaml:"rule"`
	Path string `yaml:"path"` // http://HOST[:PORT]/PREFIX/
}

// ForwardProxy is what the agent's HTTP_PROXY points at.
type ForwardProxy struct {
	Enabled            bool `yaml:"enabled"`
	MaxTunnelSeconds   int  `yaml:"max_tunnel_seconds,omitempty"`
	IdleTimeoutSeconds int  `yaml:"idle_timeout_seconds,omitempty"`
	// SNIVerification: the server name in a tunnel's TLS ClientHello must be the CONNECT host.
	SNIVerification *bool `yaml:"sni_verification,omitempty"`
}

// FetchProxy bounds absolute-form requests, in spite of its name.
type FetchProxy struct {
	TimeoutSeconds int        `yaml:"timeout_seconds,omitempty"`
	Monitoring     Monitoring `yaml:"monitoring,omitempty"`
}

// Monitoring judges URLs, tunnels' hosts among them.
type Monitoring struct {
	MaxURLLength               int      `yaml:"max_url_length,omitempty"` // bytes
	MaxRequestsPerMinute       int      `yaml:"max_requests_per_minute,omitempty"`
	SubdomainEntropyExclusions []string `yaml:"subdomain_entropy_exclusions,omitempty"`
}

// RequestBodyScanning is DLP on plain HTTP requests.
type RequestBodyScanning struct {
	Enabled      bool   `yaml:"enabled"`
	Action       string `yaml:"action,omitempty"` // block, warn
	MaxBodyBytes int64  `yaml:"max_body_bytes,omitempty"`
}

// DLP says what a secret is.
type DLP struct {
	// ScanEnv looks in traffic for the values of pipelock's own environment.
	ScanEnv bool `yaml:"scan_env"`
}

// ResponseScanning looks for prompt injections in answers to plain HTTP requests.
type ResponseScanning struct {
	Enabled      bool         `yaml:"enabled"`
	Action       string       `yaml:"action,omitempty"` // warn, block, strip, ask
	SSEStreaming SSEStreaming `yaml:"sse_streaming,omitempty"`
}

// SSEStreaming is the same for streams of server-sent events.
type SSEStreaming struct {
	Enabled       bool   `yaml:"enabled"`
	Action        string `yaml:"action,omitempty"` // warn, block
	MaxEventBytes int    `yaml:"max_event_bytes,omitempty"`
}

// Switch is a section of which bottled sets nothing but whether it is on.
type Switch struct {
	Enabled bool `yaml:"enabled"`
}

// SSRF lists the private ranges that allowed names may resolve to, in CIDR form without host bits.
type SSRF struct {
	IPAllowlist []string `yaml:"ip_allowlist"`
}
