package pipelock

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/bot-bottle/bottled/state/audit"
)

// refusal is an error for requests that the proxy denies. Its reason is for the agent, in the words of the official program where that has
// them, since agents know these.
type refusal struct {
	status int
	code   string // of the audit log
	reason string
	hint   string // what to do about it; "" for nothing
	rule   string // by which a secret was found; "" for none
}

func (r *refusal) Error() string { return r.reason }

const (
	hintAllowlist = "The host is not on this bottle's allowlist. Ask for it with the supervise tool pipelock-block, " +
		"or have it added to spec.egress.allowlist of the bottle's manifest."
	hintAddress = "The host is, or resolves to, an address that is not public. " +
		"A self-hosted service needs its range in spec.egress.privateCIDRs of the bottle's manifest."
)

const (
	hintRule = "The text matches the named rule of gitleaks. Take it out of the request; a credential for an " +
		"upstream belongs into a route of cred-proxy. If it is no secret, a human can"
	hintSecret = hintRule + " set spec.egress.dlpAction: warn in the bottle's manifest."
)

const hintName = "Below a wildcard of the allowlist, this name looks like data. If it is a host's, it can be added by its whole name to " +
	"spec.egress.allowlist of the bottle's manifest. Ask for it with the supervise tool pipelock-block."

const hintPort = "An entry HOST:PORT in spec.egress.allowlist of the bottle's manifest opens another port. " +
	"Ask for it with the supervise tool pipelock-block."

const hintScheme = "The client has to open a CONNECT tunnel for https. axios sends the request to the proxy instead: " +
	"set proxy: false and httpsAgent: new HttpsProxyAgent(process.env.HTTPS_PROXY), from https-proxy-agent."

// askable reports whether a human can allow what was refused in answer to a proposal.
func (r *refusal) askable() bool {
	return r.code == audit.CodeHostNotAllowed || r.code == audit.CodePortNotAllowed || r.hint == hintName
}

// phraseBytes limits a reason phrase. Clients have limits on a status line, and show it in one line.
const phraseBytes = 200

// phrase makes a text fit for the reason phrase of a status line: printable ASCII, and short.
func phrase(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	if len(text) > phraseBytes {
		text = text[:phraseBytes-3] + "..."
	}
	return text
}

// malformed refuses a request whose target is ambiguous or invalid. The reason is logged, so it must not quote the target, which may hold a
// password or a path.
func malformed(format string, args ...any) *refusal {
	return &refusal{status: http.StatusBadRequest, code: audit.CodeMalformed, reason: fmt.Sprintf(format, args...)}
}

func notAllowlisted(host string) *refusal {
	return &refusal{
		status: http.StatusForbidden,
		code:   audit.CodeHostNotAllowed,
		reason: "domain not in allowlist: " + host,
		hint:   hintAllowlist,
	}
}

func closedPort(t target) *refusal {
	return &refusal{
		status: http.StatusForbidden,
		code:   audit.CodePortNotAllowed,
		reason: fmt.Sprintf("port %d of %s not in allowlist", t.port, t.host),
		hint:   hintPort,
	}
}

const hintTooLarge = "The limit is the largest maxRequestBody of all routes in spec.credProxy of the bottle's manifest, and 32Mi at least."

// unscannable refuses a body that can't be scanned.
func unscannable(status int, reason string) *refusal {
	r := &refusal{status: status, code: audit.CodeDLP, reason: reason}
	if status == http.StatusRequestEntityTooLarge {
		r.hint = hintTooLarge
	}
	return r
}

// blockedAddress refuses an address that no setting allows.
func blockedAddress(format string, args ...any) *refusal {
	return &refusal{status: http.StatusForbidden, code: audit.CodeAddressBlocked, reason: "SSRF blocked: " + fmt.Sprintf(format, args...)}
}

func ssrf(format string, args ...any) *refusal {
	return &refusal{
		status: http.StatusForbidden,
		code:   audit.CodeAddressBlocked,
		reason: "SSRF blocked: " + fmt.Sprintf(format, args...),
		hint:   hintAddress,
	}
}
