package pipelock

import (
	"encoding/base32"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/manifests/golden"
)

const hostLabelTable = "testdata/hostlabels.tsv"

// hostLabels are what an agent may put before the base of a wildcard.
func hostLabels() map[string]string {
	b32 := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(token()))
	inHex := hexed(token())
	return map[string]string{
		"token": token(), "token in lower case": strings.ToLower(token()), "token in labels": between(".", 13)(token()),
		"token in hex": between(".", 60)(inHex), "token in hex, short labels": between(".", 8)(inHex),
		"token in base32": between(".", 60)(b32), "token in base32, lower case": between(".", 30)(strings.ToLower(b32)),
		"32 random letters and digits": "k3vx9qa7zt2lm5np8rw1ys4hd6gj0bcf", "64 hex digits": between(".", 32)(strings.Repeat("9f86d081884c7d65", 4)),
		"60 digits": between(".", 20)(strings.Repeat("7294051836", 6)), "40 random letters": "qzxwvtrkplmnbgfdshjcaeiouyqwrtpsdfghjklz",
		"AWS access key": "akia" + "y3fdzq7n4kwjx2mh", "name of a bucket": "my-bucket.s3.us-east-1", "32 hex digits": "a1b2c3d4e5f6478890ab12cd34ef56ab",
		"CloudFront": "d2k9x4m7qw3zt1", "preview of a branch": "my-app-git-feature-login-page-my-team", "www": "www",
	}
}

// hostVerdict of the proxy at an address. pipelock 2.3.0 answers 403 also when it finds no address.
func hostVerdict(t *testing.T, p *testProxy, addr, host string) string {
	t.Helper()
	resp := sidecartest.Ask(t, p.rawTo(addr), fmt.Sprintf("CONNECT %s:443 HTTP/1.1\r\nHost: %[1]s:443\r\n\r\n", host))
	answer := body(t, resp)
	for _, reason := range []string{"DLP match", "high entropy", "contains secret", "looks like data"} {
		if strings.Contains(answer, reason) {
			return refused
		}
	}
	return passes
}

// TestAttackDataInHostLabels: what names would carry to name servers isn't asked for, through a tunnel or not.
func TestAttackDataInHostLabels(t *testing.T) {
	p := startProxy(t, withDLP("block", "*.wild.test"), nil)
	recorded := readTable(t, hostLabelTable)
	table := []string{}
	for name, labels := range hostLabels() {
		host := labels + ".wild.test"
		want := recorded[name+"\t"+labels]
		if *official != "" {
			want[0] = hostVerdict(t, p, *official, host)
		}
		ours := hostVerdict(t, p, p.addr, host)
		table = append(table, fmt.Sprintf("%s\t%s\t%s\t%s\n", name, labels, want[0], ours))
		if !golden.Updating() && want[1] != ours {
			t.Errorf("%s: %s, the table says %s; look, and then -update", host, ours, want[1])
		}
		conn := p.raw()
		fmt.Fprintf(conn, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
		if answer, err := io.ReadAll(io.LimitReader(conn, 12)); err != nil || ours == refused != strings.HasSuffix(string(answer), " 403") {
			t.Errorf("%s without a tunnel: %q, %v", host, answer, err)
		}
		if n := p.resolver.questions(strings.ToLower(host)); n > 0 && ours == refused {
			t.Errorf("%s was resolved", host)
		}
	}
	slices.Sort(table)
	if golden.Updating() {
		golden.Write(t, hostLabelTable, "# host labels\tof\tpipelock 2.3.0\tbottled\n"+strings.Join(table, ""))
	}
}

// TestAllowedHostNotJudged: the allowlist's own names are nobody's data.
func TestAllowedHostNotJudged(t *testing.T) {
	const name = "k3vx9qa7zt2lm5np8rw1ys4hd6gj0bcf.wild.test"
	for action, want := range map[string]int{"block": http.StatusForbidden, "warn": http.StatusBadGateway} {
		for allow, want := range map[string]int{name: http.StatusBadGateway, "*." + name: http.StatusBadGateway, "*.wild.test": want} {
			p := startProxy(t, withDLP(action, allow), nil)
			if _, _, resp := p.connect(name + ":443"); resp.StatusCode != want {
				t.Errorf("%s, %s: %s, want %d", action, allow, resp.Status, want)
			}
		}
	}
}
