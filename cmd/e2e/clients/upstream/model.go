package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// model is the API of a language model, with the paths of Anthropic's (/v1/messages), OpenAI's (/v1/responses) and Google's (/v1beta/models).
type model struct {
	mu      sync.Mutex
	streams map[string]chan struct{} // by id: closed when the reader has told that the first event arrived
}

func newModel() http.Handler {
	m := &model{streams: map[string]chan struct{}{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"data": []any{map[string]string{"id": "model-1"}}})
	})
	mux.HandleFunc("POST /v1/messages", received)
	mux.HandleFunc("POST /v1/responses", received)
	mux.HandleFunc("POST /v1beta/models/{call}", received)
	mux.HandleFunc("PUT /v1/files/{name}", received)
	// As api.github.com answers for a release's asset.
	mux.HandleFunc("GET /v1/assets/{host}/{name}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.PathValue("host")+"/assets/"+r.PathValue("name")+"?X-Amz-Signature=s3", http.StatusFound) //nolint:gosec // where a row wants to be sent
	})
	mux.HandleFunc("POST /v1/streams/{id}", m.stream)
	mux.HandleFunc("POST /v1/streams/{id}/arrived", m.arrived)
	return mux
}

// received tells what arrived whole, in the log and as the answer: its size and digest.
func received(w http.ResponseWriter, r *http.Request) {
	digest := sha256.New()
	size, err := io.Copy(digest, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Println("received", r.URL.RequestURI())
	writeJSON(w, map[string]any{"bytes": size, "sha256": fmt.Sprintf("%x", digest.Sum(nil))})
}

// stream sends an event, waits until its reader has it, and sends another one: whoever collects the answer first never gets there.
func (m *model) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for n := 1; n <= 2; n++ {
		_, _ = fmt.Fprintf(w, "event: delta\ndata: event %d\n\n", n) // a reader that is gone ends the request
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-m.reader(r.PathValue("id")):
		case <-r.Context().Done():
			return
		}
	}
}

func (m *model) arrived(w http.ResponseWriter, r *http.Request) {
	close(m.reader(r.PathValue("id")))
	w.WriteHeader(http.StatusNoContent)
}

func (m *model) reader(id string) chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.streams[id] == nil {
		m.streams[id] = make(chan struct{})
	}
	return m.streams[id]
}

func writeJSON(w http.ResponseWriter, v any) {
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	_ = json.NewEncoder(w).Encode(v) // fails only when the client is gone
}
