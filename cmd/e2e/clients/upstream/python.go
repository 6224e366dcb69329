package main

import (
	"crypto/sha256"
	"fmt"
	"html"
	"net/http"
	"strings"
)

// newPythonIndex is an index by PEP 503 at a path. It has every project, in version 1.0, as a wheel whose absolute address begins with
// files; as at pypi.org, which has its files at files.pythonhosted.org, that may be another host. An index with files of its own
// serves them.
func newPythonIndex(path, files string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path+"{project}/", func(w http.ResponseWriter, r *http.Request) {
		project := r.PathValue("project")
		archive, err := wheel(project)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		name := wheelName(project)
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, "<!DOCTYPE html><html><body><a href=\"%s#sha256=%x\">%s</a></body></html>\n",
			html.EscapeString(files+name), sha256.Sum256(archive), html.EscapeString(name)) // fails only when the client is gone
	})
	if own, is := strings.CutPrefix(files, "https://pypi.example"); is {
		mux.HandleFunc("GET "+own+"{name}", serveWheel)
	}
	return mux
}

func serveWheel(w http.ResponseWriter, r *http.Request) {
	project, _, _ := strings.Cut(r.PathValue("name"), "-")
	archive, err := wheel(project)
	send(w, archive, err)
}

func wheelName(project string) string {
	return strings.ReplaceAll(project, "-", "_") + "-1.0-py3-none-any.whl"
}

// wheel is a project's only file.
func wheel(project string) ([]byte, error) {
	module := strings.ReplaceAll(project, "-", "_")
	info := module + "-1.0.dist-info/"
	return zipped(
		file{module + ".py", "GREETING = 'installed'\n"},
		file{info + "METADATA", "Metadata-Version: 2.1\nName: " + module + "\nVersion: 1.0\n"},
		file{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: upstream\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		file{info + "RECORD", module + ".py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n"},
	)
}
