package main

import (
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"strings"
)

// newNPM is an npm registry at /registry/ that has every package, in version 1.0.0. As at registry.npmjs.org the metadata names the
// tarballs by the registry's own address. As at GitHub Packages a tarball may be at a signed address: that of elsewhere-… is.
func newNPM() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /registry/{name}", npmMetadata) // the slash of a scoped name is sent as %2f
	mux.HandleFunc("GET /registry/{name}/-/{file}", npmTarball)
	mux.HandleFunc("GET /registry/{scope}/{name}/-/{file}", npmTarball)
	mux.HandleFunc("PUT /registry/{name}", received) // publishes
	mux.HandleFunc("PUT /registry/-/files/{name}", received)
	mux.HandleFunc("POST /registry/-/npm/v1/security/advisories/bulk", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, struct{}{}) })
	return mux
}

func npmMetadata(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	archive, err := npmPackage(name)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	digest := sha512.Sum512(archive)
	const abbreviated = "application/vnd.npm.install-v1+json"
	if strings.HasPrefix(r.Header.Get("Accept"), abbreviated) {
		w.Header().Set("Content-Type", abbreviated)
	}
	writeJSON(w, map[string]any{
		"name": name, "dist-tags": map[string]string{"latest": "1.0.0"},
		"versions": map[string]any{"1.0.0": map[string]any{"name": name, "version": "1.0.0", "dist": map[string]string{
			"tarball":   fmt.Sprintf("https://npm.example/registry/%s/-/%s-1.0.0.tgz", name, path.Base(name)),
			"integrity": "sha512-" + base64.StdEncoding.EncodeToString(digest[:]),
		}}},
	})
}

func npmTarball(w http.ResponseWriter, r *http.Request) {
	name := path.Join(r.PathValue("scope"), r.PathValue("name"))
	if strings.HasPrefix(name, "elsewhere-") {
		http.Redirect(w, r, "https://files.example/npm/"+name+"?X-Amz-Signature=s3", http.StatusFound) //nolint:gosec // always to the same host
		return
	}
	archive, err := npmPackage(name)
	send(w, archive, err)
}

// npmPackage is a package's tarball, the same each time.
func npmPackage(name string) ([]byte, error) {
	return tarball(file{"package/package.json", fmt.Sprintf(`{"name":%q,"version":"1.0.0"}`, name)})
}
