package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

const moduleVersion = "v1.0.0"

// newModules is a Go module proxy at a path. It has every module, in one version.
func newModules(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		module, file, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, path), "/@v/")
		if !ok {
			http.NotFound(w, r) // the go command asks for @latest only where @v/list is empty
			return
		}
		switch file {
		case "list":
			_, _ = io.WriteString(w, moduleVersion+"\n") // fails only when the client is gone, like those below
		case moduleVersion + ".info":
			writeJSON(w, map[string]string{"Version": moduleVersion, "Time": "2026-01-01T00:00:00Z"})
		case moduleVersion + ".mod":
			_, _ = io.WriteString(w, goMod(module))
		case moduleVersion + ".zip":
			archive, err := moduleZip(module)
			send(w, archive, err)
		default:
			http.NotFound(w, r)
		}
	})
}

func goMod(module string) string { return fmt.Sprintf("module %s\n\ngo 1.20\n", module) }

func moduleZip(module string) ([]byte, error) {
	root := module + "@" + moduleVersion + "/"
	return zipped(file{root + "go.mod", goMod(module)}, file{root + "doc.go", "// Package greeting is of the proxy.\npackage greeting\n"})
}
