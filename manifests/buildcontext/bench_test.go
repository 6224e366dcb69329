package buildcontext

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkReadUnchanged is what a context of 1,000 files in 100 directories costs in every pass.
func BenchmarkReadUnchanged(b *testing.B) {
	dir := b.TempDir()
	must := func(err error) {
		b.Helper()
		if err != nil {
			b.Fatal(err)
		}
	}
	for i := range 1000 {
		path := filepath.Join(dir, fmt.Sprint(i%100), fmt.Sprint(i))
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, make([]byte, 4096), 0o600))
	}
	must(os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch"), 0o600))
	<-time.After(settleTime + 100*time.Millisecond) // younger files are read again
	var r Reader
	for b.Loop() {
		_, err := r.Read(Source{Dir: dir, Dockerfile: "Dockerfile"}, dir)
		must(err)
	}
}
