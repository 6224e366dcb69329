package dlp

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// FuzzBody: however a text is cut and compressed, it comes out unchanged or as a beginning of it, and if all
// in one piece holds no secret, in pieces it doesn't either.
func FuzzBody(f *testing.F) {
	f.Add([]byte("a "+token()+" b"), 7, uint8(1))
	f.Add([]byte("words and words"), 1, uint8(0))
	f.Add(bytes.Repeat([]byte("words and words"), 1000), 100, uint8(5))
	f.Fuzz(func(t *testing.T, plain []byte, size int, which uint8) {
		d := detector(t)
		sent, encoding := plain, ""
		if n := int(which) % (len(codings) + 1); n > 0 {
			encoding = codings[n-1]
			sent = compress(t, encoding, plain)
		}
		list := slices.Collect(slices.Chunk(bytes.Clone(sent), 1+max(size, -(size+1))%1000))
		got, err := io.ReadAll(body(d, encoding, list...))
		if !bytes.HasPrefix(sent, got) || err == nil && len(got) != len(sent) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(sent), err)
		}
		if id := d.Find(plain); err == nil && id != "" && len(plain) < undecidedBytes {
			t.Fatalf("%s was not found in pieces of %d", id, size)
		}
	})
}

// FuzzCodedBody: whatever says that it is compressed is refused, or comes out unchanged and decodes to no secret; what came out before a
// refusal doesn't decode to one either.
func FuzzCodedBody(f *testing.F) {
	for i, encoding := range codings {
		f.Add(compress(f, encoding, []byte(token())), uint8(i))
		f.Add(compress(f, encoding, bytes.Repeat([]byte("words and words "+token()[:10]+" "), 100)), uint8(i))
	}
	f.Add(append(skippable("x"), zstdFrame(1<<20)...), uint8(3))
	f.Add(brotliMetadata("x"), uint8(2))
	f.Fuzz(func(t *testing.T, sent []byte, which uint8) {
		d, encoding := detector(t), codings[int(which)%len(codings)]
		got, err := io.ReadAll(body(d, encoding, bytes.Clone(sent)))
		if !bytes.HasPrefix(sent, got) || err == nil && len(got) != len(sent) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(sent), err)
		}
		if text := decodable(encoding, got); len(text) < undecidedBytes && d.Find(text) != "" {
			t.Fatalf("%q came out, %v", text, err)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	d := detector(b)
	rng := rand.New(rand.NewPCG(1, 1))
	noise := make([]byte, 3<<18)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	prose := bytes.Repeat([]byte(`{"role":"user","content":"The quick brown fox keeps the api-key of task 7 in \"config.json\".\nThey say it is fine."},`), 9000)[:1<<20]
	for name, data := range map[string][]byte{
		"conversation": prose, "base64": []byte(encodeBase64(noise)), "binary": append(noise, noise[:1<<18]...),
		"adversarial": bytes.Repeat([]byte("-eyAAAAAAAAAAAAAAAAAA.eyAAAAAAAAAAAAAAAAA"), 1<<20/41),
	} {
		for _, encoding := range []string{"", "gzip", "br", "zstd"} {
			sent := data
			if encoding != "" {
				sent = compress(b, encoding, data)
			}
			b.Run(fmt.Sprintf("%s/%s", name, encoding), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					n, err := io.Copy(io.Discard, d.Body(io.NopCloser(bytes.NewReader(sent)), encoding, 8<<20, nil, nil))
					if err != nil || int(n) != len(sent) {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}
