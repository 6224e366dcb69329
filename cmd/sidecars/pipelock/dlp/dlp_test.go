package dlp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestEveryRule: what a rule is made for is found in the places where it would stand.
func TestEveryRule(t *testing.T) {
	d := detector(t)
	eachRule(t, func(r *rule) {
		for seed := range uint64(5) {
			secret := made(t, r, seed)
			for _, format := range []string{"%s", "\"%s\"", "key=%s\n", "x?a=%s&b=c", "Authorization: Bearer %s\r\n", `{"content":"first line\n%s\nlast"}`, "<a>%s</a>", "a,%s,b"} {
				text := fmt.Sprintf(format, secret)
				if d.Find([]byte(text)) == "" {
					t.Errorf("%s: not found in %q", r.id, text)
				}
			}
		}
	})
}

// TestEveryRuleEncoded: one layer of base64, hexadecimal or percent-encoding hides nothing.
func TestEveryRuleEncoded(t *testing.T) {
	d := detector(t)
	eachRule(t, func(r *rule) {
		seed := uint64(7)
		secret := made(t, r, seed)
		for ; len(secret) < hexChars/2; seed++ { // a short one is found as it is only
			secret = made(t, r, seed)
		}
		for how, text := range encodings(secret) {
			if d.Find([]byte(text)) == "" {
				t.Errorf("%s: not found %s: %q", r.id, how, text)
			}
		}
	})
}

func encodings(secret string) map[string]string {
	all := map[string]string{
		"in hex":                    hex.EncodeToString([]byte(secret)),
		"in upper case hex":         "x" + strings.ToUpper(hex.EncodeToString([]byte("a "+secret))),
		"in hex, from the middle":   "f" + hex.EncodeToString([]byte("a "+secret)),
		"in base64 for URLs":        base64.RawURLEncoding.EncodeToString([]byte("user:" + secret)),
		"in base64 within a form":   "a=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("??>"+secret+" "))) + "&b=c",
		"percent-encoded":           percentEncode(secret, func(int) bool { return true }),
		"percent-encoded, partly":   percentEncode(secret, func(i int) bool { return i%3 == 1 }),
		"in base64, broken at 76":   broken(secret, 76, "\n"),
		"in base64, broken at 64":   broken(secret, 64, "\r\n"),
		"in base64, broken in JSON": `{"x":"` + broken(secret, 76, `\n`) + `"}`,
	}
	for n := range 3 {
		all[fmt.Sprintf("in base64 behind %d bytes", n)] = base64.StdEncoding.EncodeToString([]byte(strings.Repeat(" ", n) + secret + " "))
		all[fmt.Sprintf("in base64 behind %d digits", n+1)] = strings.Repeat("A", n+1) + base64.StdEncoding.EncodeToString([]byte(" "+secret))
	}
	return all
}

func percentEncode(text string, which func(int) bool) string {
	var b strings.Builder
	for i := range len(text) {
		if which(i) {
			fmt.Fprintf(&b, "%%%02x", text[i])
		} else {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

func broken(secret string, width int, br string) string {
	encoded := base64.StdEncoding.EncodeToString([]byte("some lines before the one that counts\nTOKEN=" + secret + "\n"))
	var lines []string
	for line := range slices.Chunk([]byte(encoded), width) {
		lines = append(lines, string(line))
	}
	return strings.Join(lines, br) + br
}

func TestPrivateKeys(t *testing.T) {
	d := detector(t)
	digits := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("not a key ", 10)))[:64]
	begin := func(kind string) string { return "-----BEGIN " + kind + "-----" }
	for text, want := range map[string]string{
		begin("RSA PRIVATE KEY") + "\n" + digits:                                                 "private-key",
		begin("PRIVATE KEY") + `\n` + digits:                                                     "private-key",
		begin("OPENSSH PRIVATE KEY") + "\r\n" + digits:                                           "private-key",
		begin("RSA PRIVATE KEY") + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,00\n\n" + digits:     "private-key",
		begin("PGP PRIVATE KEY BLOCK") + "\nVersion: x\n\n" + digits:                             "private-key",
		base64.StdEncoding.EncodeToString([]byte(begin("EC PRIVATE KEY") + "\n" + digits)):       "private-key",
		begin("CERTIFICATE") + "\n" + digits:                                                     "",
		begin("PUBLIC KEY") + "\n" + digits:                                                      "",
		begin("RSA PRIVATE KEY") + "\n...\n-----END RSA PRIVATE KEY-----":                        "",
		"if bytes.Contains(data, []byte(\"" + begin("RSA PRIVATE KEY") + "\")) { return false }": "",
	} {
		if got := d.Find([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// TestNoSecret: what an agent sends all day.
func TestNoSecret(t *testing.T) {
	d := detector(t)
	texts := []string{
		"bottled-placeholder", "Authorization: Bearer bottled-placeholder", "x-api-key: bottled-placeholder", "Basic Ym90dGxlZC1wbGFjZWhvbGRlcjo=",
		"ghp_" + strings.Repeat("x", 36), "AKIAIOSFODNN7EXAMPLE", "sk-ant-api03-...", "${GITHUB_TOKEN}", "export NPM_TOKEN=npm_xxx",
		"password = \"hunter2\"", "okta_token = \"" + strings.Repeat("0a", 21) + "\"", "curl -H 'Authorization: Bearer $TOKEN' https://example.com",
		"sha256:" + strings.Repeat("4b1d5e6f", 8), "commit 4b1d0000aaaabbbbccccddddeeeeffff00001111", "014df517-39d1-4453-b7b3-9930c563627c",
		"s.ReadUint16LengthPrefixed(&out)", "index 83d5a3b..4b1dfe1 100644", "task-1 disk-2 risk_3 keys.json they.map",
		"pat.matches, sat.count and ext_module.c; api-gateway; hooks.slack.com", "https://example.com/a?token=abc&key=def",
		"h1:" + strings.Repeat("Ab9+/", 8) + "=",
	}
	for _, text := range texts {
		if id := d.Find([]byte(text)); id != "" {
			t.Errorf("%q is taken for a secret: %s", text, id)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 2<<20)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	for what, text := range map[string][]byte{
		"noise": noise, "noise in base64": []byte(base64.StdEncoding.EncodeToString(noise)), "noise in hex": []byte(hex.EncodeToString(noise)),
		"zeroes in base64": bytes.Repeat([]byte("A"), 1<<20),
	} {
		if id := d.Find(text); id != "" {
			t.Errorf("%s is taken for a secret: %s", what, id)
		}
	}
}

// TestOwnSource: the source of this package, which speaks of secrets all the time, has none.
func TestOwnSource(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if id := detector(t).Find(text); id != "" {
			t.Errorf("%s: %s", f.Name(), id)
		}
	}
}

// TestLeftOut: what is left out by name is still there to leave out, and the leads are of rules there are.
func TestLeftOut(t *testing.T) {
	ids := map[string]int{}
	eachRule(t, func(r *rule) { ids[r.id]++ })
	for id := range leads {
		if ids[id] != 1 {
			t.Errorf("lead for %s, of which there are %d", id, ids[id])
		}
	}
	for id, n := range ids {
		if n > 1 {
			t.Errorf("%d rules %s", n, id)
		}
	}
}

func TestKeywords(t *testing.T) {
	words := []string{"he", "she", "his", "hers", "s"}
	k := newKeywords(words)
	var got []string
	k.each([]byte("uSHErs? his"), func(word, end int) bool {
		got = append(got, fmt.Sprint(words[word], "@", end))
		return true
	})
	slices.Sort(got)
	want := []string{"he@4", "hers@6", "his@11", "s@11", "s@2", "s@6", "she@4"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// FuzzFind: nothing makes it panic, and what is undecided lies within the text and isn't too much.
func FuzzFind(f *testing.F) {
	for _, text := range encodings(token()) {
		f.Add([]byte(text))
	}
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nAAAA\\"))
	d, err := New()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newScan(d)
		defer s.free()
		id, undecided := s.find(text)
		if id == "" && (undecided < 0 || undecided > len(text) || undecided < len(text)-undecidedBytes) {
			t.Fatalf("undecided from %d of %d", undecided, len(text))
		}
		// What is decided stays so: more text finds nothing that begins there.
		if id == "" && d.Find(append(bytes.Clone(text[:undecided]), ' ')) != "" {
			t.Fatalf("%q was decided", text[:undecided])
		}
	})
}
