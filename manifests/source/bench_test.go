package source

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad reads a directory of 40 bottles with all there is in a manifest. It is to take less than
// 10 ms.
func BenchmarkLoad(b *testing.B) {
	text, err := os.ReadFile("../testdata/good/full.yaml")
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	for i := range 40 {
		name := fmt.Sprintf("dev-%d", i)
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(strings.Replace(string(text), "name: dev", "name: "+name, 1)), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		snapshot, err := Load(dir)
		if err != nil || len(snapshot.Bottles) != 40 {
			b.Fatal(snapshot, err)
		}
	}
}
