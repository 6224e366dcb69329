package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// crates is a sparse registry of Cargo at /crates/ that wants its token for everything. It has every crate in version 1.0.0, and those of
// which one was published in that version only (https://doc.rust-lang.org/cargo/reference/registry-web-api.html).
type crates struct {
	mu        sync.Mutex
	published map[string]string // versions by names
}

func newCrates() http.Handler {
	c := &crates{published: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /crates/config.json", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{
			"dl": "https://cargo.example/crates/dl/{crate}/{version}", "api": "https://cargo.example/crates", "auth-required": true,
		})
	})
	mux.HandleFunc("GET /crates/{first}/{second}/{name}", c.index)
	mux.HandleFunc("GET /crates/dl/{name}/{version}", func(w http.ResponseWriter, r *http.Request) {
		archive, err := crate(r.PathValue("name"), r.PathValue("version"))
		send(w, archive, err)
	})
	mux.HandleFunc("PUT /crates/api/v1/crates/new", c.publish)
	return mux
}

// index answers with a line for each version of a crate.
func (c *crates) index(w http.ResponseWriter, r *http.Request) {
	name, version := r.PathValue("name"), "1.0.0"
	c.mu.Lock()
	if published := c.published[name]; published != "" {
		version = published
	}
	c.mu.Unlock()
	archive, err := crate(name, version)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	writeJSON(w, map[string]any{
		"name": name, "vers": version, "deps": []any{}, "features": struct{}{}, "yanked": false, "cksum": fmt.Sprintf("%x", sha256.Sum256(archive)),
	})
}

// publish takes a crate's metadata behind their length in four bytes, and the crate behind its own.
func (c *crates) publish(w http.ResponseWriter, r *http.Request) {
	var metadata struct{ Name, Vers string }
	var length [4]byte
	_, err := io.ReadFull(r.Body, length[:])
	if err == nil {
		err = json.NewDecoder(io.LimitReader(r.Body, int64(binary.LittleEndian.Uint32(length[:])))).Decode(&metadata)
	}
	_, rest := io.Copy(io.Discard, r.Body)
	if err := errors.Join(err, rest); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.published[metadata.Name] = metadata.Vers
	c.mu.Unlock()
	writeJSON(w, map[string]any{"warnings": map[string]any{"invalid_categories": []any{}, "invalid_badges": []any{}, "other": []any{}}})
}

// crate is a version of a crate, the same each time.
func crate(name, version string) ([]byte, error) {
	root := name + "-" + version + "/"
	return tarball(
		file{root + "Cargo.toml", fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\n", name, version)},
		file{root + "src/lib.rs", "pub const GREETING: &str = \"built\";\n"},
	)
}
