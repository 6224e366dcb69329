package dlp

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

const limit = 1 << 20

// pieces is a body that comes in pieces; each Read returns one.
type pieces struct{ list [][]byte }

func (p *pieces) Read(buf []byte) (int, error) {
	if len(p.list) == 0 {
		return 0, io.EOF
	}
	n := copy(buf, p.list[0])
	if p.list[0] = p.list[0][n:]; len(p.list[0]) == 0 {
		p.list = p.list[1:]
	}
	return n, nil
}

func (p *pieces) Close() error { return nil }

func body(d *Detector, encoding string, list ...[]byte) *Body {
	return d.Body(&pieces{list}, encoding, limit, nil)
}

func compress(t testing.TB, encoding string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := io.WriteCloser(gzip.NewWriter(&out))
	if encoding == "deflate" {
		w = zlib.NewWriter(&out)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// text of words, digits and noise, of a length.
func text(rng *rand.Rand, length int) []byte {
	var b bytes.Buffer
	for b.Len() < length {
		switch rng.IntN(4) {
		case 0:
			b.WriteString("They keep the keys, ")
		case 1:
			b.WriteString(strings.Repeat("QUJD", rng.IntN(200)))
		case 2:
			b.WriteString("\n-----BEGIN CERTIFICATE-----\n")
		case 3:
			b.WriteByte(byte(rng.Uint32()))
		}
	}
	return b.Bytes()[:length]
}

// TestBodyUnchanged: a body without a secret comes out as it was, however it comes in.
func TestBodyUnchanged(t *testing.T) {
	d := detector(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, length := range []int{0, 1, 100, undecidedBytes, 3*chunkBytes + 7} {
		plain := text(rng, length)
		for encoding, sent := range map[string][]byte{
			"": plain, "identity": plain, "gzip": compress(t, "gzip", plain), "X-GZIP": compress(t, "gzip", plain), "deflate": compress(t, "deflate", plain),
		} {
			all := map[string]io.Reader{
				"at once": bytes.NewReader(sent), "half": iotest.HalfReader(bytes.NewReader(sent)), "with the end": iotest.DataErrReader(bytes.NewReader(sent)),
			}
			if length < undecidedBytes {
				all["one byte each"] = iotest.OneByteReader(bytes.NewReader(sent))
			}
			for how, in := range all {
				got, err := io.ReadAll(d.Body(io.NopCloser(in), encoding, limit, nil))
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d bytes, %q, %s: %d bytes of %d, %v", length, encoding, how, len(got), len(sent), err)
				}
			}
		}
	}
	if got, err := io.ReadAll(body(d, "gzip")); err != nil || len(got) != 0 {
		t.Errorf("an empty body with an encoding: %q, %v", got, err)
	}
}

// TestBodySplit: wherever a body is cut in two, nothing of the secret comes out.
func TestBodySplit(t *testing.T) {
	d := detector(t)
	early := beginning(t)
	key := "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("0123456789abcdef", 4)
	for _, secret := range append([]string{token(), key}, values(encodings(token()))...) {
		whole := []byte(`{"role":"user", "content":"` + secret + `"} `)
		begin := bytes.Index(whole, []byte(secret))
		for cut := range len(whole) {
			got, err := io.ReadAll(body(d, "", whole[:cut], whole[cut:]))
			var found *Finding
			if !errors.As(err, &found) {
				t.Fatalf("%q cut at %d: %v", secret, cut, err)
			}
			plain := secret == token() || secret == key
			if plain && len(got) > begin || early.Find(got) != "" {
				t.Fatalf("%q cut at %d: %q came out", secret, cut, got[begin:])
			}
		}
	}
}

// beginning knows the first characters of token.
func beginning(t *testing.T) *Detector {
	t.Helper()
	r, err := newRule(source{ID: "beginning", Regex: `ghp_[0-9a-zA-Z]{4}`, Keywords: []string{"ghp_"}})
	if err != nil {
		t.Fatal(err)
	}
	return &Detector{keywords: newKeywords(r.keywords), rules: [][]*rule{{r}}}
}

func values(m map[string]string) []string {
	var all []string
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// TestBodyByBytes: a secret that comes byte by byte behind a long text is found, and the text is out.
func TestBodyByBytes(t *testing.T) { synctest.Test(t, testBodyByBytes) } // it waits in pace

func testBodyByBytes(t *testing.T) {
	d := detector(t)
	for _, before := range []int{0, 1, undecidedBytes, chunkBytes} {
		whole := append(bytes.Repeat([]byte("word "), before/5+1), token()+" and more"...)
		got, err := io.ReadAll(d.Body(io.NopCloser(iotest.OneByteReader(bytes.NewReader(whole))), "", limit, nil))
		if err == nil || len(got) != (before/5+1)*5 {
			t.Errorf("behind %d bytes: %d came out, %v", before, len(got), err)
		}
	}
}

// TestBodyFlows: what can't be part of a secret comes out before more comes in.
func TestBodyFlows(t *testing.T) {
	d := detector(t)
	r, w := io.Pipe()
	b := d.Body(r, "", limit, nil)
	for _, line := range []string{"data: one\n", "{\"key\": \"they\"}", "(a)", "monkey\r\n"} {
		go w.Write([]byte(line))
		got := make([]byte, len(line))
		if _, err := io.ReadFull(b, got); err != nil || string(got) != line {
			t.Fatalf("%q, %v, want %q", got, err, line)
		}
	}
}

// TestCompressedFlows: what a client has flushed comes out before more comes in.
func TestCompressedFlows(t *testing.T) {
	d := detector(t)
	r, w := io.Pipe()
	plain, out := io.Pipe()
	go func() {
		z, err := gzip.NewReader(plain)
		if err == nil {
			_, err = io.Copy(w, z)
		}
		w.CloseWithError(err)
	}()
	source, sink := io.Pipe()
	go io.Copy(out, d.Body(source, "gzip", limit, nil))
	z := gzip.NewWriter(sink)
	for _, line := range []string{"data: one\n", strings.Repeat("two words ", 10_000), "three\n"} {
		flushed := make(chan struct{})
		go func() {
			defer close(flushed)
			z.Write([]byte(line))
			z.Flush()
		}()
		got := make([]byte, len(line))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != line {
			t.Fatalf("%d bytes, %v, want %d", len(got), err, len(line))
		}
		<-flushed
	}
}

// TestCompressedSecret: a secret in compressed data is found, and what came out before doesn't decode to it.
func TestCompressedSecret(t *testing.T) {
	d := detector(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, before := range []int{0, 1000, 200_000} {
		noise := make([]byte, before)
		for i := range noise {
			noise[i] = "abcdefgh ,.\n"[rng.IntN(12)]
		}
		plain := bytes.Join([][]byte{noise, []byte(token()), []byte("and more")}, []byte(" "))
		for _, encoding := range []string{"gzip", "deflate"} {
			sent := compress(t, encoding, plain)
			for how, in := range map[string]io.Reader{"at once": bytes.NewReader(sent), "one byte each": iotest.OneByteReader(bytes.NewReader(sent))} {
				got, err := io.ReadAll(d.Body(io.NopCloser(in), encoding, limit, nil))
				var found *Finding
				if !errors.As(err, &found) || found.Rule != "github-pat" {
					t.Errorf("%s behind %d, %s: %v", encoding, before, how, err)
				}
				if text := decodable(encoding, got); bytes.Contains(text, []byte(token()[:8])) {
					t.Errorf("%s behind %d, %s: what came out has %q", encoding, before, how, text[max(0, len(text)-60):])
				}
			}
		}
	}
}

// decodable is as much as can be decoded of the beginning of compressed data.
func decodable(encoding string, data []byte) []byte {
	in := bytes.NewReader(data)
	var z io.Reader
	var err error
	if z, err = gzip.NewReader(in); encoding == "deflate" {
		z, err = zlib.NewReader(in)
	}
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(z)
	return text
}

func TestCompressedTricks(t *testing.T) {
	d := detector(t)
	harmless := compress(t, "gzip", []byte("harmless"))
	secret := compress(t, "gzip", []byte(token()))
	var raw, named, stored bytes.Buffer
	f, _ := flate.NewWriter(&raw, flate.BestSpeed)
	f.Write([]byte(token()))
	f.Close()
	n := gzip.NewWriter(&named)
	n.Comment = token()
	n.Close()
	s, _ := gzip.NewWriterLevel(&stored, gzip.NoCompression)
	s.Write([]byte("x " + token()))
	s.Close()
	for name, c := range map[string]struct {
		encoding string
		sent     []byte
		want     string
	}{
		"secret in the second member":       {"gzip", append(bytes.Clone(harmless), secret...), "contains secret: github-pat"},
		"secret in a comment of the header": {"gzip", named.Bytes(), "contains secret: github-pat"},
		"secret in a stored block":          {"gzip", stored.Bytes(), "contains secret: github-pat"},
		"secret behind zlib's end":          {"deflate", append(compress(t, "deflate", []byte("x")), token()...), "not what its Content-Encoding says"},
		"secret behind gzip's end":          {"gzip", append(bytes.Clone(harmless), token()...), "not what its Content-Encoding says"},
		"plain text that says gzip":         {"gzip", []byte(token()), "not what its Content-Encoding says"},
		"deflate without zlib's header":     {"deflate", raw.Bytes(), "not what its Content-Encoding says"},
		"cut off":                           {"gzip", harmless[:len(harmless)-3], "not what its Content-Encoding says"},
		"bomb":                              {"gzip", compress(t, "gzip", make([]byte, limit+1)), "decoded request body exceeds max_body_bytes"},
		"twice":                             {"gzip,gzip", compress(t, "gzip", secret), "cannot be looked into"},
		"gzip and identity":                 {"identity, gzip", secret, "cannot be looked into"},
		"brotli":                            {"br", []byte("x"), "cannot be looked into"},
		"zstd":                              {"zstd", []byte("x"), "cannot be looked into"},
		"unknown":                           {"x", []byte("x"), "cannot be looked into"},
	} {
		got, err := io.ReadAll(body(d, c.encoding, c.sent))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "ghp_") {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if bytes.Contains(got, []byte(token()[:8])) {
			t.Errorf("%s: %q came out", name, got)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	d := detector(t)
	words := bytes.Repeat([]byte("word "), limit/5+2)
	if got, err := io.ReadAll(body(d, "", words[:limit])); err != nil || len(got) != limit {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
	for _, warn := range []func(error){nil, func(error) {}} {
		got, err := io.ReadAll(d.Body(io.NopCloser(bytes.NewReader(words)), "", limit, warn))
		if err == nil || !strings.Contains(err.Error(), "exceeds max_body_bytes (1048576)") || len(got) > limit {
			t.Errorf("over the limit: %d bytes, %v", len(got), err)
		}
	}
}

// TestBodyWarns: with warn, a body passes whole, and it is told once why.
func TestBodyWarns(t *testing.T) {
	d := detector(t)
	long := append(bytes.Repeat([]byte("word "), 20_000), token()+" "+strings.Repeat("more ", 20_000)...)
	for name, c := range map[string]struct {
		encoding string
		sent     []byte
		want     string
	}{
		"secret":            {"", long, "request body contains secret: github-pat"},
		"compressed secret": {"gzip", compress(t, "gzip", long), "request body contains secret: github-pat"},
		"brotli":            {"br", long, "cannot be looked into"},
		"no gzip":           {"gzip", long, "not what its Content-Encoding says"},
		"bomb":              {"deflate", compress(t, "deflate", make([]byte, 2*limit)), "exceeds max_body_bytes"},
		"harmless":          {"", []byte("hello"), ""},
	} {
		for how, in := range map[string]io.Reader{"in pieces": &pieces{[][]byte{c.sent}}, "with the end": iotest.DataErrReader(bytes.NewReader(c.sent))} {
			var told []string
			b := d.Body(io.NopCloser(in), c.encoding, limit, func(err error) { told = append(told, err.Error()) })
			got, err := io.ReadAll(iotest.HalfReader(b))
			if err != nil || !bytes.Equal(got, c.sent) {
				t.Errorf("%s, %s: %d bytes of %d, %v", name, how, len(got), len(c.sent), err)
			}
			if c.want == "" && len(told) > 0 || c.want != "" && (len(told) != 1 || !strings.Contains(told[0], c.want)) {
				t.Errorf("%s, %s: told %q, want %q", name, how, told, c.want)
			}
		}
	}
}

// TestBodyBroken: trouble with the connection stays what it is, with warn or without.
func TestBodyBroken(t *testing.T) {
	gone := errors.New("the client is gone")
	for _, encoding := range []string{"", "gzip", "deflate"} {
		for _, warn := range []func(error){nil, func(err error) { t.Errorf("%q: told %v", encoding, err) }} {
			sent := compress(t, "gzip", []byte("harmless"))
			if encoding == "deflate" {
				sent = compress(t, "deflate", []byte("harmless"))
			}
			in := io.MultiReader(bytes.NewReader(sent[:len(sent)-5]), iotest.ErrReader(gone))
			if _, err := io.ReadAll(detector(t).Body(io.NopCloser(in), encoding, limit, warn)); !errors.Is(err, gone) {
				t.Errorf("%q: %v", encoding, err)
			}
		}
	}
}
