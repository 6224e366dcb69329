package dlp

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
)

// FuzzBody: however a text is cut and compressed, it comes out unchanged or as a beginning of it, and if all
// in one piece holds no secret, in pieces it doesn't either.
func FuzzBody(f *testing.F) {
	f.Add([]byte("a "+token()+" b"), 7, true)
	f.Add([]byte("words and words"), 1, false)
	f.Fuzz(func(t *testing.T, plain []byte, size int, zip bool) {
		d := detector(t)
		sent, encoding := plain, ""
		if zip {
			sent, encoding = compress(t, "gzip", plain), "gzip"
		}
		var list [][]byte
		for size = 1 + max(size, -size)%1000; len(sent) > size; sent = sent[size:] {
			list = append(list, sent[:size])
		}
		list = append(list, sent)
		whole := bytes.Join(list, nil)
		got, err := io.ReadAll(body(d, encoding, list...))
		if !bytes.HasPrefix(whole, got) || err == nil && len(got) != len(whole) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(whole), err)
		}
		if id := d.Find(plain); err == nil && id != "" && len(plain) < undecidedBytes {
			t.Fatalf("%s was not found in pieces of %d", id, size)
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
		for _, encoding := range []string{"", "gzip"} {
			sent := data
			if encoding != "" {
				sent = compress(b, encoding, data)
			}
			b.Run(fmt.Sprintf("%s/%s", name, encoding), func(b *testing.B) {
				b.SetBytes(int64(len(data)))
				for b.Loop() {
					n, err := io.Copy(io.Discard, d.Body(io.NopCloser(bytes.NewReader(sent)), encoding, 8<<20, nil))
					if err != nil || int(n) != len(sent) {
						b.Fatal(n, err)
					}
				}
			})
		}
	}
}
