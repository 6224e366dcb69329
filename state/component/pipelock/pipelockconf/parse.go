package pipelockconf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"

	"go.yaml.in/yaml/v3"
)

// Remedy is what to do when a file asks the built-in proxy for what only the official image does.
const Remedy = "use the official image (--pipelock-image)"

// Parse reads pipelock.yaml as the official program does: one document, no unknown keys, no duplicates.
// Keys of the official schema that Config doesn't have are refused as well: people who set them must
// not believe that they are in force.
func Parse(data []byte) (*Config, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	config := &Config{}
	if err := dec.Decode(config); err != nil {
		return nil, fmt.Errorf("not a pipelock.yaml that the built-in pipelock can carry out "+
			"(others of pipelock %s's keys need the official image, --pipelock-image): %w", Version, err)
	}
	if err := dec.Decode(&yaml.Node{}); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document, or something that is no YAML after the first")
	}
	return config, nil
}

// Ranges returns ssrf.ip_allowlist, parsed and checked.
func (c *Config) Ranges() ([]netip.Prefix, error) {
	ranges := make([]netip.Prefix, 0, len(c.SSRF.IPAllowlist))
	for _, s := range c.SSRF.IPAllowlist {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("ssrf.ip_allowlist: %w", err)
		}
		if err := checkRange(p); err != nil {
			return nil, err
		}
		ranges = append(ranges, p)
	}
	return ranges, nil
}

// Unsupported returns an error for each thing the file asks for that the built-in proxy can't carry out.
// A key left out asks for nothing.
func (c *Config) Unsupported() error {
	on := func(s *Switch) bool { return s != nil && s.Enabled }
	rpm := c.FetchProxy.Monitoring.MaxRequestsPerMinute
	var errs []error
	for _, ask := range []struct {
		made bool
		what string
	}{
		{c.Mode != ModeStrict, fmt.Sprintf("run in mode %q (only strict)", c.Mode)},
		{c.Enforce != nil && !*c.Enforce, "detect without blocking (enforce: false)"},
		{!c.ForwardProxy.Enabled, "do anything but forward (forward_proxy.enabled: false)"},
		{c.ForwardProxy.SNIVerification != nil && !*c.ForwardProxy.SNIVerification, "leave server names unverified (forward_proxy.sni_verification: false)"},
		{c.DLP != nil && c.DLP.ScanEnv, "look for the secrets of its environment (dlp.scan_env: true)"},
		{c.ResponseScanning != nil && c.ResponseScanning.Enabled, "scan responses (response_scanning.enabled: true)"},
		{on(c.MediaPolicy), "filter media (media_policy.enabled: true)"},
		{on(c.TLSInterception), "intercept TLS (tls_interception.enabled: true)"},
		{rpm != 0 && rpm < NoRateLimit, "limit request rates (fetch_proxy.monitoring.max_requests_per_minute)"},
	} {
		if ask.made {
			errs = append(errs, fmt.Errorf("the built-in pipelock cannot %s: %s", ask.what, Remedy))
		}
	}
	return errors.Join(errs...)
}
