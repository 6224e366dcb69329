package pipelock

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/bot-bottle/bottled/state/component/pipelock/pipelockconf"
)

// Judge decides about requests as a proxy with a configuration does, by the same code, for people who want to know beforehand. It
// asks no DNS, so a name counts as one that leads to an address which is allowed.
type Judge struct {
	proxy  *proxy
	config *pipelockconf.Config
}

// Verdict is what a proxy would decide about a request.
type Verdict struct {
	Refusal string // why it is refused, as the agent reads it; "" when it is allowed
	Code    string // of the refusal, as in the audit log
	Hint    string // what to do about the refusal, if anything
	Entry   string // of the allowlist, by which it is allowed
	Range   string // of the private ranges, that has the address
	Warning string // what is passed over
}

// NewJudge makes a judge of a pipelock.yaml. internal is the bottle's internal network.
func NewJudge(config []byte, internal netip.Prefix) (*Judge, error) {
	parsed, err := pipelockconf.Parse(config)
	if err != nil {
		return nil, err
	}
	policy, err := newPolicy(config, internal, nil)
	if err != nil {
		return nil, err
	}
	p := &proxy{internal: internal}
	p.policy.Store(policy)
	return &Judge{p, parsed}, nil
}

// Judge decides about a request for a URL: https and wss through a tunnel, http and ws as plain HTTP. An error means that no client
// could send it.
func (j *Judge) Judge(method string, u *url.URL) (Verdict, error) {
	r, err := request(method, u)
	if err != nil {
		return Verdict{}, err
	}
	x := &exchange{policy: j.proxy.policy.Load()}
	tunnel, check := r.Method == http.MethodConnect, j.proxy.checkAbsolute
	if tunnel {
		check = j.proxy.checkConnect
	}
	if err = check(r, x); err == nil && tunnel && !x.grant.tunnel {
		err = closedPort(x.target) // a proxy learns in the tunnel that it is for TLS
	}
	if err == nil && x.target.addr.IsValid() {
		err = x.policy.checkAddress(x.target, x.target.addr)
	}
	v := Verdict{}
	if warned := x.warned.Load(); warned != nil {
		v.Warning = *warned
	}
	if refused := (*refusal)(nil); errors.As(err, &refused) {
		v.Refusal, v.Code, v.Hint = refused.reason, refused.code, refused.hint
		return v, nil
	}
	if err != nil {
		return Verdict{}, err
	}
	v.Entry, err = j.entry(x.target, tunnel)
	v.Range = j.addressRange(x.target.addr)
	return v, err
}

// request is what a client sends to its proxy, as the proxy reads it.
func request(method string, u *url.URL) (*http.Request, error) {
	var line, header string
	switch u.Scheme {
	case "https", "wss":
		line = http.MethodConnect + " " + u.Hostname() + ":" + cmp.Or(u.Port(), "443")
		if strings.Contains(u.Hostname(), ":") {
			line = http.MethodConnect + " [" + u.Hostname() + "]:" + cmp.Or(u.Port(), "443")
		}
	case "http", "ws":
		if u.Scheme == "ws" {
			header = "Upgrade: websocket\r\n"
		}
		sent := *u
		sent.Scheme, sent.Fragment = "http", ""
		line = method + " " + sent.String()
	default:
		return nil, fmt.Errorf("nothing but http, https, ws and wss leaves a bottle")
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: " + u.Host + "\r\n" + header + "\r\n")))
	if err != nil {
		return nil, fmt.Errorf("no HTTP client can ask for it: %w", err)
	}
	return r, nil
}

// entry is the first of the allowlist's entries that opens the target by itself.
func (j *Judge) entry(t target, tunnel bool) (string, error) {
	for _, entry := range j.config.APIAllowlist {
		one, err := newAllowlist([]string{entry})
		if err != nil {
			return "", err
		}
		if _, open := one.allows(t, tunnel); open {
			return entry, nil
		}
	}
	return "", fmt.Errorf("%s is allowed by no entry of the allowlist", t)
}

// addressRange is the private range that an address is in.
func (j *Judge) addressRange(addr netip.Addr) string {
	for _, r := range j.proxy.policy.Load().ranges {
		if r.Contains(addr) {
			return r.String()
		}
	}
	return ""
}
