package dlp

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/bot-bottle/bottled/cmd/sidecars/internal/coding"
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
	return d.Body(&pieces{list}, encoding, limit, nil, nil)
}

// codings are all that can be undone, by one and by two.
var codings = []string{"gzip", "deflate", "br", "zstd", "gzip, zstd", "zstd, gzip", "br, deflate", "zstd,br", "br, zstd", "gzip, gzip"}

// compress applies codings, from the left to the right.
func compress(t testing.TB, encoding string, data []byte) []byte {
	t.Helper()
	for name := range strings.SplitSeq(encoding, ",") {
		var out bytes.Buffer
		w := compressor(t, strings.TrimSpace(name), &out)
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		data = out.Bytes()
	}
	return data
}

type flushCloser interface {
	io.WriteCloser
	Flush() error
}

func compressor(t testing.TB, name string, out io.Writer) flushCloser {
	t.Helper()
	switch name {
	case "gzip":
		return gzip.NewWriter(out)
	case "deflate":
		return zlib.NewWriter(out)
	case "br":
		return brotli.NewWriterOptions(out, brotli.WriterOptions{Quality: 4, LGWin: 18})
	case "zstd":
		w, err := zstd.NewWriter(out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<18))
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	t.Fatalf("no coding %q", name)
	return nil
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

// inPieces is a body that comes in pieces of a size.
func inPieces(sent []byte, size int) io.Reader {
	p := &pieces{}
	for piece := range slices.Chunk(sent, size) {
		p.list = append(p.list, bytes.Clone(piece))
	}
	return p
}

// TestBodyUnchanged: a body without a secret comes out as it was, however it comes in.
func TestBodyUnchanged(t *testing.T) { synctest.Test(t, testBodyUnchanged) } // it waits in pace

func testBodyUnchanged(t *testing.T) {
	d := detector(t)
	rng := rand.New(rand.NewPCG(3, 4))
	for _, length := range []int{0, 1, 100, undecidedBytes, 3*chunkBytes + 7} {
		plain := text(rng, length)
		bodies := map[string][]byte{
			"": plain, "identity": plain, "X-GZIP": compress(t, "gzip", plain), ",identity, GZip ,,": compress(t, "gzip", plain),
		}
		for _, encoding := range codings {
			bodies[encoding] = compress(t, encoding, plain)
		}
		for encoding, sent := range bodies {
			all := map[string]io.Reader{
				"in pieces": inPieces(sent, 1+length/100), "at once": bytes.NewReader(sent), "half": iotest.HalfReader(bytes.NewReader(sent)), "with the end": iotest.DataErrReader(bytes.NewReader(sent)),
			}
			if length < undecidedBytes && (encoding == "" || length <= 1) {
				all["one byte each"] = iotest.OneByteReader(bytes.NewReader(sent))
			}
			for how, in := range all {
				got, err := io.ReadAll(d.Body(io.NopCloser(in), encoding, limit, nil, nil))
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
		got, err := io.ReadAll(d.Body(io.NopCloser(iotest.OneByteReader(bytes.NewReader(whole))), "", limit, nil, nil))
		if err == nil || len(got) != (before/5+1)*5 {
			t.Errorf("behind %d bytes: %d came out, %v", before, len(got), err)
		}
	}
}

// TestBodyFlows: what can't be part of a secret comes out before more comes in.
func TestBodyFlows(t *testing.T) {
	d := detector(t)
	r, w := io.Pipe()
	b := d.Body(r, "", limit, nil, nil)
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
	for _, encoding := range []string{"gzip", "deflate", "br", "zstd"} {
		t.Run(encoding, func(t *testing.T) { testCompressedFlows(t, encoding) })
	}
}

func testCompressedFlows(t *testing.T, encoding string) {
	r, w := io.Pipe()
	plain, out := io.Pipe()
	go func() {
		_, err := io.Copy(w, coding.New(known(t, encoding), plain, 16, func(int64) error { return nil }))
		w.CloseWithError(err)
	}()
	source, sink := io.Pipe()
	go io.Copy(out, detector(t).Body(source, encoding, limit, nil, nil))
	z := compressor(t, encoding, sink)
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

func known(t *testing.T, encoding string) coding.Coding {
	t.Helper()
	codings, err := coding.Parse(encoding)
	if err != nil || len(codings) != 1 {
		t.Fatalf("%q: %v, %v", encoding, codings, err)
	}
	return codings[0]
}

// TestCompressedSecret: a secret in compressed data is found, and what came out before doesn't decode to it.
func TestCompressedSecret(t *testing.T) { synctest.Test(t, testCompressedSecret) } // it waits in pace

func testCompressedSecret(t *testing.T) {
	d := detector(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for _, before := range []int{0, 1000, 200_000} {
		noise := make([]byte, before)
		for i := range noise {
			noise[i] = "abcdefgh ,.\n"[rng.IntN(12)]
		}
		plain := bytes.Join([][]byte{noise, []byte(token()), []byte("and more")}, []byte(" "))
		for _, encoding := range codings {
			sent := compress(t, encoding, plain)
			for how, in := range map[string]io.Reader{"at once": bytes.NewReader(sent), "in pieces": inPieces(sent, 1+before/100)} {
				got, err := io.ReadAll(d.Body(io.NopCloser(in), encoding, limit, nil, nil))
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
	codings, err := coding.Parse(encoding)
	if err != nil {
		return nil
	}
	in := io.Reader(bytes.NewReader(data))
	for _, c := range codings {
		in = coding.New(c, in, 16, func(int64) error { return nil })
	}
	text, _ := io.ReadAll(in)
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
		"gzip and identity":                 {"identity, gzip", secret, "contains secret: github-pat"},
		"three":                             {"gzip, br, zstd", compress(t, "gzip, br, zstd", []byte("x")), "cannot be undone"},
		"unknown":                           {"x", []byte("x"), "cannot be undone"},
		"known and unknown":                 {"x, gzip", secret, "cannot be undone"},
		"gzip that says zstd":               {"zstd", secret, "not what its Content-Encoding says"},
		"gzip that says br":                 {"br", secret, "not what its Content-Encoding says"},
		"gzip that says gzip and zstd":      {"gzip, zstd", secret, "not what its Content-Encoding says"},
		"gzip that says zstd and gzip":      {"zstd, gzip", secret, "contains secret: github-pat"},
		"secret in a second zstd frame":     {"zstd", append(compress(t, "zstd", []byte("x")), compress(t, "zstd", []byte(token()))...), "contains secret: github-pat"},
		"secret behind zstd's end":          {"zstd", append(compress(t, "zstd", []byte("x")), token()...), "contains secret: github-pat"},
		"text behind zstd's end":            {"zstd", append(compress(t, "zstd", []byte("x")), "text"...), "not what its Content-Encoding says"},
		"three bytes behind zstd's end":     {"zstd", append(compress(t, "zstd", []byte("x")), "\x28\xb5\x2f"...), "not what its Content-Encoding says"},
		"secret in a skippable frame":       {"zstd", append(skippable(token()), compress(t, "zstd", []byte("x"))...), "contains secret: github-pat"},
		"gzip in a skippable frame":         {"zstd", append(skippable(string(secret)), token()...), "not what its Content-Encoding says"},
		"a larger window in a second frame": {"zstd", append(compress(t, "zstd", []byte("x")), zstdFrame(1<<23)...), "not what its Content-Encoding says"},
		"a window of 9 MiB":                 {"zstd", zstdFrame(9 << 20), "a window of more than 8 MiB"},
		"a window of 2 GiB":                 {"zstd", zstdFrame(2 << 30), "a window of more than 8 MiB"},
		"zstd with a dictionary":            {"zstd", []byte("\x28\xb5\x2f\xfd\x21\x07\x01\x09\x00\x00x"), "not what its Content-Encoding says"},
		"zstd cut off":                      {"zstd", cut(compress(t, "zstd", []byte("x"))), "not what its Content-Encoding says"},
		"zstd's beginning":                  {"zstd", []byte("\x28\xb5"), "not what its Content-Encoding says"},
		"zstd with a wrong checksum":        {"zstd", append(cut(compress(t, "zstd", []byte("x"))), 'x'), "not what its Content-Encoding says"},
		"br cut off":                        {"br", cut(compress(t, "br", []byte("hello"))), "not what its Content-Encoding says"},
		"secret behind br's end":            {"br", append(compress(t, "br", []byte("x")), token()...), "not what its Content-Encoding says"},
		"br with a large window":            {"br", []byte("\x11\x1d\x00"), "not what its Content-Encoding says"},
		"secret in br's metadata":           {"br", brotliMetadata(token()), "contains secret: github-pat"},
		"secret between two codings":        {"gzip, zstd", compress(t, "zstd", named.Bytes()), "contains secret: github-pat"},
		"bomb of zstd":                      {"zstd", compress(t, "zstd", make([]byte, limit+1)), "decoded request body exceeds max_body_bytes"},
		"bomb of br":                        {"br", compress(t, "br", make([]byte, limit+1)), "decoded request body exceeds max_body_bytes"},
		"bomb in a bomb":                    {"gzip, br", compress(t, "gzip, br", make([]byte, 8*limit)), "decoded request body exceeds max_body_bytes"},
		"empty blocks of gzip":              {"gzip", emptyBlocks(t), "too much that decodes to nothing"},
		"empty blocks of zstd":              {"zstd", append([]byte("\x28\xb5\x2f\xfd\x00\x58"), bytes.Repeat([]byte{0, 0, 0}, limit/4)...), "too much that decodes to nothing"},
		"a large skippable frame":           {"zstd", skippable(strings.Repeat("word ", limit/6)), "too much that decodes to nothing"},
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

func cut(data []byte) []byte { return data[:len(data)-1] }

// skippable is a frame of zstd that decoders skip.
func skippable(text string) []byte {
	n := len(text)
	return append([]byte{0x50, 0x2a, 0x4d, 0x18, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}, text...)
}

// zstdFrame is a frame of one byte, x, that asks for a window.
func zstdFrame(window int) []byte {
	exponent := bits.Len(uint(window)) - 1
	mantissa := window>>(exponent-3)&7 + map[bool]int{true: 0, false: 1}[window%(1<<(exponent-3)) == 0]
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte((exponent-10)<<3 | mantissa), 1 | 1<<3, 0, 0, 'x'}
}

// brotliMetadata is a stream of a metablock that decoders skip, and an empty one.
func brotliMetadata(text string) []byte {
	n := len(text) - 1 // window bits: 0 for 16; not last: 0; nibbles: 3 for none; reserved: 0; bytes of the length: 1; the length
	head := 3<<2 | 1<<5 | n<<7
	return append(append([]byte{byte(head), byte(head >> 8)}, text...), 3)
}

// emptyBlocks is gzip with stored blocks of no length.
func emptyBlocks(t *testing.T) []byte {
	t.Helper()
	header := compress(t, "gzip", nil)[:10]
	return append(header, bytes.Repeat([]byte{0, 0, 0, 0xff, 0xff}, limit/6)...)
}

func TestBodyLimit(t *testing.T) {
	d := detector(t)
	words := bytes.Repeat([]byte("word "), limit/5+2)
	if got, err := io.ReadAll(body(d, "", words[:limit])); err != nil || len(got) != limit {
		t.Errorf("at the limit: %d bytes, %v", len(got), err)
	}
	for _, warn := range []func(error){nil, func(error) {}} {
		got, err := io.ReadAll(d.Body(io.NopCloser(bytes.NewReader(words)), "", limit, warn, nil))
		if err == nil || !strings.Contains(err.Error(), "exceeds max_body_bytes (1048576)") || len(got) > limit {
			t.Errorf("over the limit: %d bytes, %v", len(got), err)
		}
	}
}

// TestLargeBody: with a larger limit, large bodies pass, compressed ones only if they are not far larger than what was sent.
func TestLargeBody(t *testing.T) {
	const large = bombBytes + 1<<20
	rng := rand.New(rand.NewPCG(7, 8))
	prose := make([]byte, large)
	for i := range prose {
		prose[i] = "abcdefghijk ,.\n"[rng.IntN(15)]
	}
	for name, c := range map[string]struct {
		encoding string
		plain    []byte
		want     string
	}{
		"plain":        {"", prose, ""},
		"zstd":         {"zstd", prose, ""},
		"zeros":        {"zstd", make([]byte, large), "decoded request body is far larger than what was sent"},
		"zeros, twice": {"gzip, zstd", make([]byte, large), "decoded request body is far larger than what was sent"},
		"small zeros":  {"zstd", make([]byte, bombBytes), ""},
	} {
		sent := c.plain
		if c.encoding != "" {
			sent = compress(t, c.encoding, c.plain)
		}
		n, err := io.Copy(io.Discard, detector(t).Body(io.NopCloser(bytes.NewReader(sent)), c.encoding, 2*large, nil, nil))
		var unreadable *Unreadable
		if c.want == "" && (err != nil || n != int64(len(sent))) || c.want != "" && (!errors.As(err, &unreadable) || !unreadable.TooLarge || err.Error() != c.want) {
			t.Errorf("%s: %d bytes of %d, %v, want %q", name, n, len(sent), err, c.want)
		}
	}
}

// TestBodyWarns: with warn, a body passes whole, and it is told once why.
func TestBodyWarns(t *testing.T) { synctest.Test(t, testBodyWarns) } // it waits in pace

func testBodyWarns(t *testing.T) {
	d := detector(t)
	long := append(bytes.Repeat([]byte("word "), 20_000), token()+" "+strings.Repeat("more ", 20_000)...)
	for name, c := range map[string]struct {
		encoding string
		sent     []byte
		want     string
	}{
		"secret":            {"", long, "request body contains secret: github-pat"},
		"compressed secret": {"gzip", compress(t, "gzip", long), "request body contains secret: github-pat"},
		"unknown":           {"x", long, "cannot be undone"},
		"no br":             {"br", long, "not what its Content-Encoding says"},
		"empty blocks":      {"gzip", emptyBlocks(t), "too much that decodes to nothing"},
		"two codings":       {"br, zstd", compress(t, "br, zstd", long), "request body contains secret: github-pat"},
		"no gzip":           {"gzip", long, "not what its Content-Encoding says"},
		"bomb":              {"deflate", compress(t, "deflate", make([]byte, 2*limit)), "exceeds max_body_bytes"},
		"harmless":          {"", []byte("hello"), ""},
	} {
		for how, in := range map[string]io.Reader{"in pieces": &pieces{[][]byte{c.sent}}, "with the end": iotest.DataErrReader(bytes.NewReader(c.sent))} {
			var told []string
			b := d.Body(io.NopCloser(in), c.encoding, limit, func(err error) { told = append(told, err.Error()) }, nil)
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
	for _, encoding := range append([]string{""}, codings...) {
		for _, warn := range []func(error){nil, func(err error) { t.Errorf("%q: told %v", encoding, err) }} {
			sent := []byte("harmless")
			if encoding != "" {
				sent = compress(t, encoding, sent)
			}
			in := io.MultiReader(bytes.NewReader(sent[:len(sent)-5]), iotest.ErrReader(gone))
			if _, err := io.ReadAll(detector(t).Body(io.NopCloser(in), encoding, limit, warn, nil)); !errors.Is(err, gone) {
				t.Errorf("%q: %v", encoding, err)
			}
		}
	}
}
