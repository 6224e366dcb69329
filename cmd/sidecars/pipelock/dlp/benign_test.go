package dlp

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"
)

// repeat returns n texts, made of their numbers.
func repeat(n int, text func(i int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(text(i))
	}
	return b.String()
}

func noise(seed uint64, size int) []byte {
	rng := rand.New(rand.NewPCG(seed, 7))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return data
}

func picture(t testing.TB) []byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(4, 2))
	img := image.NewRGBA(image.Rect(0, 0, 256, 256))
	for x := range 256 {
		for y := range 256 {
			img.Set(x, y, color.RGBA{uint8(x), uint8(y), uint8(rng.IntN(256)), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pack is like one of git: objects, each compressed.
func pack(t testing.TB) []byte {
	t.Helper()
	b := bytes.NewBufferString("PACK\x00\x00\x00\x02")
	for i := range 2000 {
		b.WriteByte(byte(0x90 | i&15))
		z := zlib.NewWriter(b)
		fmt.Fprintf(z, "tree %x\nauthor A <a@example.com> %d +0100\n\nChange %d of the API\n", sha256.Sum256([]byte{byte(i)}), 1_700_000_000+i, i)
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// benignData is what programs make.
func benignData(t testing.TB) map[string]string {
	t.Helper()
	shot := base64.StdEncoding.EncodeToString(picture(t))
	return map[string]string{
		"PNG in base64":           `{"type":"image","data":"` + shot + `"}`,
		"PNG in lines of base64":  chunked(shot, 76, "\r\n"),
		"PNG in a data URL":       `<img src="data:image/png;base64,` + url.QueryEscape(shot) + `">`,
		"PNG":                     string(picture(t)),
		"git pack":                string(pack(t)),
		"git pack in base64":      base64.StdEncoding.EncodeToString(pack(t)),
		"random binary":           string(noise(1, 1<<20)),
		"random base64":           base64.StdEncoding.EncodeToString(noise(2, 1<<20)),
		"random base64 for URLs":  base64.RawURLEncoding.EncodeToString(noise(3, 1<<20)),
		"random base32":           base32.StdEncoding.EncodeToString(noise(4, 1<<20)),
		"random hex":              hex.EncodeToString(noise(5, 1<<20)),
		"hex dump":                hex.Dump(noise(6, 1<<18)),
		"bytes in Go":             fmt.Sprintf("%#v", noise(7, 1<<16)),
		"bytes in JSON":           strings.Join(strings.Fields(fmt.Sprintf("%d", noise(8, 1<<18))), ","),
		"bytes in C":              eachByte(`\x%02x`)(string(noise(9, 1<<17))),
		"bytes in octal":          eachByte(`\%03o`)(string(noise(10, 1<<17))),
		"percent-encoded bytes":   eachByte("%%%02X")(string(noise(11, 1<<17))),
		"zeroes":                  string(make([]byte, 1<<20)),
		"spaces":                  strings.Repeat(" ", 1<<20),
		"PEM certificates":        strings.Repeat("-----BEGIN CERTIFICATE-----\n"+chunked(base64.StdEncoding.EncodeToString(noise(12, 900)), 64, "\n")+"\n-----END CERTIFICATE-----\n", 300),
		"base64 of base64 of PNG": base64.StdEncoding.EncodeToString([]byte(shot)),
	}
}

func hash(i int) []byte {
	h := sha256.Sum256([]byte(fmt.Sprint(i)))
	return h[:]
}

func integrity(i int) string {
	h := sha512.Sum512([]byte(fmt.Sprint(i)))
	return base64.StdEncoding.EncodeToString(h[:])
}

// benignLists are lines of lock files and the like.
func benignLists() map[string]string {
	return map[string]string{
		"SHA-256 list": repeat(5000, func(i int) string {
			return fmt.Sprintf("%x  dir/file-%d.go\n", hash(i), i)
		}),
		"bare hashes in lines": repeat(5000, func(i int) string {
			return fmt.Sprintf("%x\n", hash(i))
		}),
		"git log": repeat(3000, func(i int) string {
			return fmt.Sprintf("commit %x\nAuthor: A <a@example.com>\n\n    Fix %d\n\n", hash(i)[:20], i)
		}),
		"go.sum": repeat(3000, func(i int) string {
			return fmt.Sprintf("example.com/mod%d v1.%d.0 h1:%s=\n", i, i, base64.StdEncoding.EncodeToString(hash(i)))
		}),
		"package-lock.json": repeat(3000, func(i int) string {
			return fmt.Sprintf("    \"node_modules/a%d\": {\n      \"version\": \"1.0.%d\",\n      \"integrity\": \"sha512-%s\"\n    },\n", i, i, integrity(i))
		}),
		"pnpm-lock.yaml": repeat(3000, func(i int) string {
			return fmt.Sprintf("  /@scope/pkg-%d@1.2.%d(react@18.2.0):\n    resolution: {integrity: sha512-%s}\n", i, i, integrity(i))
		}),
		"requirements.txt": repeat(3000, func(i int) string {
			return fmt.Sprintf("pkg%d==1.%d \\\n    --hash=sha256:%x\n", i, i, hash(i))
		}),
		"UUIDs": repeat(5000, func(i int) string {
			h := hash(i)
			return fmt.Sprintf("%x-%x-4%x-8%x-%x\n", h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
		}),
		"fingerprints": repeat(2000, func(i int) string {
			return strings.TrimSuffix(eachByte("%02X:")(string(hash(i))), ":") + "\n"
		}),
		"numbers in CSV": repeat(20000, func(i int) string {
			return fmt.Sprintf("%d,%d,%d;%d\n", i, i*7, i*i, i%13)
		}),
		"words on lines": strings.Repeat("they\nkeep\nthe\nkeys\nof\nAsia\nhf\nsk\ntask\n", 10000),
		"paths on lines": repeat(5000, func(i int) string {
			return fmt.Sprintf("/usr/share/doc/pkg%d/npm_logs/2026/11/%02d/file%d\n", i, i%28, i)
		}),
	}
}

const (
	russian = "Ключи от квартиры, где деньги лежат: раз, два, три. "
	chinese = "敏捷的棕色狐狸跳过了懒狗，然后使用hf_模型进行训练。"
	german  = "Über den Wölfen träumt man schön; \"Schlüssel\" = 42 % von 100 % & mehr.\r\n"
)

func quotedMail(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func wideText(text string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func nestedJSON(t testing.TB) string {
	t.Helper()
	nested := `{"a":"line\nof \"text\" with C:\\temp\\new and \u00fc \u4e2d"}`
	for range 5 {
		text, err := json.Marshal(map[string]string{"content": nested})
		if err != nil {
			t.Fatal(err)
		}
		nested = string(text)
	}
	return nested
}

// benignTexts are what people and agents write.
func benignTexts(t testing.TB) map[string]string {
	t.Helper()
	nested := nestedJSON(t)
	return map[string]string{
		"minified JavaScript":    strings.Repeat(`!function(e,t){"use strict";for(var n=0,r=t.length;n<r;n++)e[t[n].sk]=t[n].key||"\x3c\u002f"+n%25;return e.hf_model.transformer.layers.attention.self.query.weight}(this,[]);`, 2000),
		"source map":             `{"mappings":"` + strings.Repeat("AAAA,SAASA,EAAMC,GAAK,OAAOD,EAAEE;AACA,IAAIC,EAAa;", 5000) + `"}`,
		"Python":                 strings.Repeat("from hf_transfer.models.bert.modeling.layers.encoder.attention import npm_config\nx = model.layers[0].self_attn.q_proj.weight\nprefix = ('sk_test_', 'sk_live_', 'ghp_', 'xoxb-')\n", 2000),
		"talk about tokens":      strings.Repeat("GitHub tokens begin with ghp_ and then 36 characters follow, npm_ has 36 alphanumeric ones; sk_test_\nand sk_live_\nare Stripe's. AKIA: 20 capitals. ", 2000),
		"JSON in JSON":           nested,
		"JSON conversation":      strings.Repeat(`{"role":"user","content":"The key is in \"config.json\".\nThey say\tit is fine: 100%25 & more\\n"},`, 3000),
		"UTF-16 text":            wideText(strings.Repeat("The quick brown fox keeps the api-key of task 7.\r\n"+german+russian, 2000)),
		"Russian":                strings.Repeat(russian, 5000),
		"Chinese":                strings.Repeat(chinese, 5000),
		"escaped Chinese":        strings.Repeat(`"\u654f\u6377\u7684 fox \u68d5"`, 5000),
		"quoted-printable mail":  "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quotedMail(t, strings.Repeat(german+russian, 500)),
		"percent-encoded URLs":   strings.Repeat("https://example.com/"+url.PathEscape(russian)+"?q="+url.QueryEscape(chinese)+"&r="+url.QueryEscape(german)+"\n", 500),
		"redirects in redirects": strings.Repeat("https://a.example/?u="+url.QueryEscape("https://b.example/?u="+url.QueryEscape("https://c.example/?u="+url.QueryEscape(german)))+"\n", 500),
		"XML entities":           strings.Repeat("<p>R&amp;D &#252;ber &#x4e2d;&#8203; a &lt; b</p>\n", 5000),
		"HTML mail":              quotedMail(t, strings.Repeat(`<td style="color=3D#333;width=20px">a=3D10&amp;b=3D20</td>`+"\n", 2000)),
		"base64 of JSON":         base64.StdEncoding.EncodeToString([]byte(nested)),
	}
}

// TestBenignPayloads: what agents send all day holds no secret, however much of it is decoded, and no bound is reached.
func TestBenignPayloads(t *testing.T) {
	d := detector(t)
	for _, all := range []map[string]string{benignData(t), benignLists(), benignTexts(t)} {
		for name, text := range all {
			if id := d.Find([]byte(text)); id != "" {
				t.Errorf("%s is taken for %s", name, id)
			}
			if got, err := io.ReadAll(d.Body(io.NopCloser(strings.NewReader(text)), "", 64<<20, nil, nil)); err != nil || string(got) != text {
				t.Errorf("%s in a body: %d bytes of %d, %v", name, len(got), len(text), err)
			}
		}
	}
}

// TestBenignURLs pass, and so do headers.
func TestBenignURLs(t *testing.T) {
	d := detector(t)
	sum := sha256.Sum256([]byte("x"))
	for _, u := range []string{
		"http://cred-proxy:9099/anthropic/v1/messages?beta=true", "http://cred-proxy:9099/github/repos/acme/shop/commits/" + hex.EncodeToString(sum[:20]),
		"http://example.com/search?q=" + url.QueryEscape("Как найти ключ от hf_model?") + "&page=2&sort=asc&lang=ru",
		"http://deb.debian.org/debian/pool/main/g/golang-1.26/golang-1.26-src_1.26.8-1_all.deb", "http://deb.debian.org/debian/dists/trixie/by-hash/SHA256/" + hex.EncodeToString(sum[:]),
		"http://registry.example/v2/acme/app/blobs/sha256:" + hex.EncodeToString(sum[:]), "http://example.com/014df517-39d1-4453-b7b3-9930c563627c/a/b/c?x=1&y=2&z=3&w=4",
		"http://example.com/cb?state=" + base64.RawURLEncoding.EncodeToString(sum[:]) + "&redirect_uri=https%3A%2F%2Fb.example%2F%3Fu%3Dhttps%253A%252F%252Fc.example",
		"http://example.com/npm_logs/2026/11/26/error.log", "http://example.com/@scope%2fpackage/-/package-1.2.3.tgz",
	} {
		if id := d.FindURL("GET", u); id != "" {
			t.Errorf("%s is taken for %s", u, id)
		}
	}
	header := map[string][]string{
		"User-Agent": {"git/2.47.1"}, "Accept": {"application/json, text/plain;q=0.9, */*;q=0.8"}, "Accept-Language": {"de-DE,de;q=0.9,en;q=0.8"},
		"Cookie": {"a=" + hex.EncodeToString(sum[:]) + "; b=014df517-39d1-4453-b7b3-9930c563627c"}, "If-None-Match": {`W/"` + base64.StdEncoding.EncodeToString(sum[:]) + `"`},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "X-Stainless-Package-Version": {"0.60.0"}, "X-Api-Key": {"bottled-placeholder"},
		"Anthropic-Beta": {"fine-grained-tool-streaming-2025-05-14,context-1m-2025-08-07"}, "Sec-Ch-Ua": {`"Chromium";v="130", "Not?A_Brand";v="99"`},
	}
	if id := d.FindHeader(header); id != "" {
		t.Errorf("the header is taken for %s", id)
	}
}
