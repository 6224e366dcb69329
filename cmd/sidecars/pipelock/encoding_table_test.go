package pipelock

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/sidecartest"
	"github.com/bot-bottle/bottled/manifests/golden"
)

// official is the address of a pipelock 2.3.0 that runs with a file of pipelockconf.Render with Official, and may reach 127.0.0.1
// and *.wild.test.
var official = flag.String("official", "", "with -update, ask this proxy for its verdicts, too")

const encodingTable = "testdata/encodings.tsv"

// Verdicts in the table.
const (
	refused    = "refused"
	passes     = "passes"
	impossible = "-" // the place has no room for the encoding's characters
)

type encoding struct {
	name   string
	encode func(secret string) string
}

// each writes a format for every byte.
func each(format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, format, s[i])
		}
		return b.String()
	}
}

func between(sep string, every int) func(string) string {
	return func(s string) string {
		var parts []string
		for part := range slices.Chunk([]byte(s), every) {
			parts = append(parts, string(part))
		}
		return strings.Join(parts, sep)
	}
}

func chain(all ...func(string) string) func(string) string {
	return func(s string) string {
		for _, f := range all {
			s = f(s)
		}
		return s
	}
}

func wide(order func(uint16) []byte) func(string) string {
	return func(s string) string {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, order(u)...)
		}
		return string(b)
	}
}

func mapped(f func(rune) rune) func(string) string {
	return func(s string) string { return strings.Map(f, s) }
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func b64url(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func b32(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) }

func b32raw(s string) string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(s))
}

func hexed(s string) string { return hex.EncodeToString([]byte(s)) }

var percent = each("%%%02X")

func lastHalf(s string, f func(string) string) string { return s[:2] + f(s[2:]) }

var encodings = []encoding{
	{"as it is", func(s string) string { return s }},
	{"percent-encoding", percent},
	{"percent-encoding twice", chain(percent, func(s string) string { return strings.ReplaceAll(s, "%", "%25") })},
	{"percent-encoding three times", chain(percent, func(s string) string { return strings.ReplaceAll(s, "%", "%2525") })},
	{"percent-encoding of percent-encoding", chain(percent, percent)},
	{"percent-encoding of a part", func(s string) string { return lastHalf(s, percent) }},
	{"percent-encoding of UTF-16 (%u)", each("%%u%04x")},
	{"base64", b64},
	{"base64 for URLs", b64url},
	{"base64 twice", chain(b64, b64)},
	{"base64 three times", chain(b64, b64, b64)},
	{"base64 in lines of 76", func(s string) string { return between("\r\n", 76)(b64(strings.Repeat("some text ", 8) + s)) }},
	{"base64 in lines of 16", chain(b64, between("\n", 16))},
	{"base64 in lines of 5", chain(b64, between("\n", 5))},
	{"base32", b32},
	{"base32 without padding, lower case", chain(b32raw, strings.ToLower)},
	{"hex", hexed},
	{"hex in upper case", chain(hexed, strings.ToUpper)},
	{"hex with spaces", chain(hexed, between(" ", 2))},
	{"hex with colons", chain(hexed, between(":", 2))},
	{"hex with dashes", chain(hexed, between("-", 2))},
	{"hex in lines of 60", func(s string) string { return between("\n", 60)(hexed(strings.Repeat("text ", 4) + s)) }},
	{`hex as 0x67, 0x68`, func(s string) string { return strings.TrimSuffix(each("0x%02x, ")(s), ", ") }},
	{`\xNN`, each(`\x%02x`)},
	{`\xNN twice`, chain(each(`\x%02x`), func(s string) string { return strings.ReplaceAll(s, `\`, `\\`) })},
	{`\uNNNN`, each(`\u%04x`)},
	{`\u{NN}`, each(`\u{%x}`)},
	{`\NNN`, each(`\%03o`)},
	{"&#NN;", each("&#%d;")},
	{"&#xNN;", each("&#x%x;")},
	{"quoted-printable", each("=%02X")},
	{"quoted-printable with soft line breaks", between("=\r\n", 10)},
	{"UTF-16, little-endian", wide(func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} })},
	{"UTF-16, big-endian", wide(func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} })},
	{"zero-width spaces", between("\u200b", 3)},
	{"soft hyphens", between("\u00ad", 5)},
	{"variation selectors", between("\ufe0f", 4)},
	{"tag characters", between("\U000e0041", 4)},
	{"full width", mapped(func(r rune) rune { return r - '!' + 0xff01 })},
	{"mathematical bold letters", mapped(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 0x1d41a
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 0x1d400
		}
		return r
	})},
	{"Cyrillic look-alikes", strings.NewReplacer("p", "р", "a", "а", "x", "х").Replace},
	{"combining marks", between("\u0301", 6)},
	{"NUL inside", between("\x00", 8)},
	{"newline inside", between("\n", 12)},
	{"CRLF inside", between("\r\n", 12)},
	{"tabs inside", between("\t", 9)},
	{"dots inside", between(".", 7)},
	{"a dot inside", between(".", 20)},
	{"dots between all", between(".", 1)},
	{"spaces between all", between(" ", 1)},
	{"prefix in upper case", func(s string) string { return strings.ToUpper(s[:4]) + s[4:] }},
	{"prefix in mixed case", func(s string) string { return "gHp_" + s[4:] }},
	{"base64 of hex", chain(hexed, b64)},
	{"hex of base64", chain(b64, hexed)},
	{"base32 of base64", chain(b64, b32)},
	{"percent-encoding of base64", chain(b64, percent)},
	{"base64 of percent-encoding twice", chain(percent, percent, b64)},
	{"base64 of UTF-16", chain(wide(func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} }), b64)},
}

type place struct {
	name string
	// request is what is sent, up to and without the base of its URL, and behind it; ok is false when the place
	// can't have the text.
	request func(text string) (method, path, header, body string, ok bool)
}

func bodyPlace(name string, header string, build func(string) string) place {
	return place{name, func(text string) (string, string, string, string, bool) {
		return "POST", "/x", header, build(text), true
	}}
}

func headerText(text string) bool {
	return strings.Trim(text, " ") == text && !strings.ContainsAny(text, "\x00\r\n")
}

func headerName(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return r >= 0x7f || r <= ' ' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	}) < 0
}

// query splits a text over parameters.
func query(text, junk string) string {
	var b strings.Builder
	for i, part := range strings.Split(between("\xff", (len(text)+3)/4)(text), "\xff") {
		fmt.Fprintf(&b, "&%c=%s%s", 'a'+i, url.QueryEscape(part), junk)
	}
	return b.String()[1:]
}

func places() []place {
	escapePath := func(s string) string { return strings.ReplaceAll(url.PathEscape(s), "/", "%2F") }
	return []place{
		{"path", func(s string) (string, string, string, string, bool) {
			return "GET", "/v1/" + escapePath(s) + "/x", "", "", true
		}},
		{"path segments", func(s string) (string, string, string, string, bool) {
			return "GET", "/v1/" + strings.ReplaceAll(escapePath(between("\x01", 10)(s)), "%01", "/"), "", "", true
		}},
		{"query value", func(s string) (string, string, string, string, bool) {
			return "GET", "/x?a=b&t=" + url.QueryEscape(s) + "&c=d", "", "", true
		}},
		{"query name", func(s string) (string, string, string, string, bool) {
			return "GET", "/x?a=b&" + url.QueryEscape(s) + "=1", "", "", true
		}},
		{"query split over parameters", func(s string) (string, string, string, string, bool) {
			return "GET", "/x?" + query(s, ""), "", "", true
		}},
		{"query split, with others between", func(s string) (string, string, string, string, bool) {
			return "GET", "/x?" + query(s, "&z=zz"), "", "", true
		}},
		{"header value", func(s string) (string, string, string, string, bool) {
			return "GET", "/x", "Authorization: Bearer " + s + "\r\n", "", headerText(s)
		}},
		{"another header's value", func(s string) (string, string, string, string, bool) {
			return "GET", "/x", "X-Note: " + s + "\r\n", "", headerText(s)
		}},
		{"header name", func(s string) (string, string, string, string, bool) {
			return "GET", "/x", "X-" + s + ": 1\r\n", "", headerName(s)
		}},
		bodyPlace("body, text", "Content-Type: text/plain\r\n", func(s string) string { return "the key: " + s + " is it" }),
		bodyPlace("body, binary", "Content-Type: application/octet-stream\r\n", func(s string) string { return s }),
		bodyPlace("body, JSON", "Content-Type: application/json\r\n", func(s string) string {
			text, err := json.Marshal(map[string]string{"content": s})
			if err != nil {
				panic(err)
			}
			return string(text)
		}),
		bodyPlace("body, form", "Content-Type: application/x-www-form-urlencoded\r\n", func(s string) string { return "a=b&t=" + url.QueryEscape(s) }),
		bodyPlace("body, multipart", "Content-Type: multipart/form-data; boundary=zzz\r\n", func(s string) string {
			var b bytes.Buffer
			w := multipart.NewWriter(&b)
			if w.SetBoundary("zzz") != nil || w.WriteField("t", s) != nil || w.Close() != nil {
				panic("no multipart body")
			}
			return b.String()
		}),
		bodyPlace("body, gzip", "Content-Type: text/plain\r\nContent-Encoding: gzip\r\n", func(s string) string {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			io.WriteString(z, s)
			z.Close()
			return b.String()
		}),
		{"body, chunked", func(s string) (string, string, string, string, bool) {
			return "POST", "/x", "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n", chunks(s, 7) + "0\r\n\r\n", true
		}},
	}
}

// cellRequest is the request for one cell of the table, or "".
func cellRequest(base string, e encoding, p place) string {
	method, path, header, body, ok := p.request(e.encode(token()))
	if !ok {
		return ""
	}
	if body != "" && !strings.Contains(header, "chunked") {
		header += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	return fmt.Sprintf("%s %s%s HTTP/1.1\r\nHost: %s\r\n%s\r\n%s", method, base, path, strings.TrimPrefix(base, "http://"), header, body)
}

// verdict of the proxy at an address.
func verdict(t *testing.T, addr, request string) string {
	t.Helper()
	conn := sidecartest.Dial(t, addr)
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return "no answer"
	}
	text := body(t, resp)
	switch resp.StatusCode {
	case http.StatusOK:
		return passes
	case http.StatusForbidden:
		return refused
	}
	t.Logf("%.200q: %s %.200q", request, resp.Status, text)
	return resp.Status
}

// TestAttackEncodings: no encoding hides a secret in any place where pipelock 2.3.0 sees it.
func TestAttackEncodings(t *testing.T) {
	upstream := startSeen(t, "127.0.0.1")
	p := startProxy(t, withDLP("block", "127.0.0.1"), nil)
	recorded := readTable(t, encodingTable)
	var table strings.Builder
	table.WriteString("# encoding\tplace\tpipelock 2.3.0\tbottled\n")
	for _, e := range encodings {
		for _, place := range places() {
			key := e.name + "\t" + place.name
			request := cellRequest(upstream.base, e, place)
			want, ours := recorded[key], impossible
			if request != "" {
				ours = verdict(t, p.addr, request)
			}
			if *official != "" {
				want[0] = impossible
				if request != "" {
					want[0] = verdict(t, *official, request)
				}
			}
			fmt.Fprintf(&table, "%s\t%s\t%s\n", key, want[0], ours)
			if !golden.Updating() && want[1] != ours {
				t.Errorf("%s in %s: %s, the table says %s; look, and then -update", e.name, place.name, ours, want[1])
			}
			if want[0] == refused && ours != refused {
				t.Errorf("%s in %s: pipelock 2.3.0 refuses it and this %s", e.name, place.name, ours)
			}
		}
	}
	if golden.Updating() {
		golden.Write(t, encodingTable, table.String())
	}
}

// readTable returns the verdicts of pipelock 2.3.0 and of ours by the first two columns.
func readTable(t *testing.T, path string) map[string][2]string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !golden.Updating() {
		t.Fatal(err)
	}
	table := map[string][2]string{}
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) == 4 && !strings.HasPrefix(line, "#") {
			table[fields[0]+"\t"+fields[1]] = [2]string{fields[2], fields[3]}
		}
	}
	return table
}
