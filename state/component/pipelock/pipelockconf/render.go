package pipelockconf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// The values of Options.DLPAction, as in a manifest's spec.egress.dlpAction.
const (
	ActionBlock = "block"
	ActionWarn  = "warn"
)

const header = `# Written by bottled for pipelock ` + Version + ` and for bottled's built-in proxy. Do not edit:
# the next reconcile writes it anew. What may be reached is spec.egress of the bottle's manifest.
`

// Options is what differs between bottles.
type Options struct {
	Allowlist   []string       // effective: names and "*." wildcards, in any order; a port behind them only when not Official
	IPAllowlist []netip.Prefix // private ranges that those names may resolve to
	DLPAction   string         // "" (block), "block" or "warn"
	// MaxRequestBody is the largest body that a route of cred-proxy allows, in bytes. The built-in proxy scans a body while it passes; the
	// official program keeps it in memory, and has the usual limit.
	MaxRequestBody int64
	Exceptions     []Suppress // in any order; only when not Official
	// Official: the image in use is not the built-in one. It looks into answers and its environment, too,
	// and allows a host on every port.
	Official bool
}

// Render returns pipelock.yaml, the same bytes for the same options. It fails for values that the official
// program would refuse, or would take for something else when it is the one to read them.
func Render(o Options) ([]byte, error) {
	config, err := o.config()
	if err != nil {
		return nil, fmt.Errorf("pipelock.yaml: %w", err)
	}
	out := bytes.NewBufferString(header)
	enc := yaml.NewEncoder(out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(config), enc.Close()); err != nil {
		return nil, fmt.Errorf("pipelock.yaml: %w", err)
	}
	return out.Bytes(), nil
}

func (o Options) config() (*Config, error) {
	scanning, err := o.bodyScanning()
	if err != nil {
		return nil, err
	}
	ranges, err := o.ranges()
	if err != nil {
		return nil, err
	}
	allowlist, err := o.allowlist()
	if err != nil {
		return nil, err
	}
	if o.Official && len(o.Exceptions) > 0 {
		return nil, fmt.Errorf("suppress: pipelock %s has no rule %q", Version, o.Exceptions[0].Rule)
	}
	on := true
	return &Config{
		Mode:          ModeStrict,
		Enforce:       &on,
		ExplainBlocks: &on,
		APIAllowlist:  allowlist,
		ForwardProxy: ForwardProxy{
			Enabled: true, MaxTunnelSeconds: tunnelSeconds, IdleTimeoutSeconds: idleSeconds, SNIVerification: &on,
		},
		FetchProxy: FetchProxy{
			TimeoutSeconds: exchangeSeconds,
			Monitoring: Monitoring{
				MaxURLLength:         urlBytes,
				MaxRequestsPerMinute: NoRateLimit,
				// A route's path carries the ids and digests of the API behind it. All names are listed, whether the bottle has
				// the components or not, because the official program rejects a reload that adds one.
				SubdomainEntropyExclusions: contract.ReachableNames(),
			},
		},
		RequestBodyScanning: scanning,
		DLP:                 &DLP{ScanEnv: o.Official},
		ResponseScanning:    o.responseScanning(),
		SSRF:                SSRF{IPAllowlist: ranges},
		Suppress:            o.exceptions(),
	}, nil
}

func (o Options) bodyScanning() (*RequestBodyScanning, error) {
	action := cmp.Or(o.DLPAction, ActionBlock)
	if action != ActionBlock && action != ActionWarn {
		return nil, fmt.Errorf("dlpAction %q is neither %q nor %q", action, ActionBlock, ActionWarn)
	}
	if o.Official && o.MaxRequestBody > bodyBytes {
		return nil, fmt.Errorf("request_body_scanning.max_body_bytes: %d is more than pipelock %s can keep in memory", o.MaxRequestBody, Version)
	}
	return &RequestBodyScanning{Enabled: true, Action: action, MaxBodyBytes: max(bodyBytes, o.MaxRequestBody)}, nil
}

// responseScanning stays on in an image that has it. Switched off, the official program still buffers
// every answer for its core patterns, streams of events too, which then arrive when they are over; and
// it blocks instead of warning.
func (o Options) responseScanning() *ResponseScanning {
	if !o.Official {
		return nil
	}
	return &ResponseScanning{
		Enabled:      true,
		Action:       ActionWarn,
		SSEStreaming: SSEStreaming{Enabled: true, Action: ActionWarn, MaxEventBytes: eventBytes},
	}
}

// allowlist is sorted and has no duplicates, so that equal sets give equal files.
func (o Options) allowlist() ([]string, error) {
	if len(o.Allowlist) == 0 {
		return []string{nobody}, nil
	}
	for _, entry := range o.Allowlist {
		if o.Official && HasPort(entry) {
			return nil, fmt.Errorf("api_allowlist: %q would match nothing: pipelock %s allows a host on every port; leave the port out", entry, Version)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(o.Allowlist))), nil
}

// exceptions are sorted and have no duplicates.
func (o Options) exceptions() []Suppress {
	return slices.Compact(slices.SortedFunc(slices.Values(o.Exceptions), func(a, b Suppress) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Rule, b.Rule))
	}))
}

// HasPort distinguishes an allowlist entry HOST:PORT from a host or an address alone.
func HasPort(entry string) bool {
	_, err := netip.ParseAddr(entry)
	return err != nil && strings.Contains(entry, ":")
}

func (o Options) ranges() ([]string, error) {
	ranges := []string{}
	for _, p := range o.IPAllowlist {
		if err := checkRange(p); err != nil {
			return nil, err
		}
		ranges = append(ranges, p.String())
	}
	slices.Sort(ranges)
	return slices.Compact(ranges), nil
}

// checkRange holds the official program's rules for ssrf.ip_allowlist.
func checkRange(p netip.Prefix) error {
	switch {
	case !p.IsValid():
		return errors.New("ssrf.ip_allowlist: an invalid range")
	case p.Bits() == 0:
		return fmt.Errorf("ssrf.ip_allowlist: %s would allow every address", p)
	case p != p.Masked():
		return fmt.Errorf("ssrf.ip_allowlist: %s has host bits set; write %s", p, p.Masked())
	}
	return nil
}
