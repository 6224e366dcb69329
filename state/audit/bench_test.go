package audit

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkTrail appends sidecars' records, as many as come.
func BenchmarkTrail(b *testing.B) {
	limits := Limits{Bytes: 1 << 40, Gaps: 1 << 20, Rate: 1e9, Burst: 1e9}
	trail, err := OpenTrail(filepath.Join(b.TempDir(), "audit"), "dev", limits)
	if err != nil {
		b.Fatal(err)
	}
	defer trail.Close()
	var line output
	for i := 1; b.Loop(); i++ {
		line = line[:0]
		line.deny("r1", i, "host.example")
		if err := trail.Add(container, "pipelock", start.Add(time.Duration(i)*time.Millisecond), []byte(line[0])); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecision appends records that survive a crash.
func BenchmarkDecision(b *testing.B) {
	log, err := Open(filepath.Join(b.TempDir(), "audit"), "dev")
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	for b.Loop() {
		if err := log.Append(map[string]string{"kind": "decision"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerify verifies a log of 100 MB.
func BenchmarkVerify(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "audit")
	trail, err := OpenTrail(dir, "dev", Limits{Bytes: 1 << 40, Gaps: 1 << 20, Rate: 1e9, Burst: 1e9})
	if err != nil {
		b.Fatal(err)
	}
	const size = 100 << 20
	lines := denials(1)
	for i := 1; trail.used["pipelock"] < size; i++ {
		lines = lines[:0]
		lines.deny("r1", i, "host.example")
		if err := trail.Add(container, "pipelock", start.Add(time.Duration(i)*time.Millisecond), []byte(lines[0])); err != nil {
			b.Fatal(err)
		}
	}
	if err := trail.Close(); err != nil {
		b.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "dev.jsonl")); err != nil || info.Size() < size {
		b.Fatal(err)
	}
	b.SetBytes(size)
	for b.Loop() {
		if v, err := Verify(VerifyOptions{Dir: dir}); err != nil || len(v.Findings) > 0 {
			b.Fatal(v.Findings, err)
		}
	}
}
