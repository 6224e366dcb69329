package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/bot-bottle/bottled/state/printable"
)

// pace is the timing of streams.
type streamTiming struct {
	debounce  time.Duration // changes within are sent as one
	keepAlive time.Duration // between keep-alive comments
	write     time.Duration // limit of one write; a client that takes longer is dropped
}

var defaultPace = streamTiming{debounce: 100 * time.Millisecond, keepAlive: 15 * time.Second, write: 10 * time.Second}

// stream sends the status until the client goes or the request's context ends. Every event is the whole current status: a slow
// client misses states in between, and never gets old ones.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	out := events{w, http.NewResponseController(w), s.pace.write}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil { // a request's would end the stream
		s.o.Log.Warn().Err(err).Msg("api: stream")
		return
	}
	if err := s.streamChanges(r.Context(), out); err != nil && r.Context().Err() == nil {
		s.o.Log.Debug().Err(err).Msg("api: stream dropped")
	}
}

func (s *Server) streamChanges(ctx context.Context, out events) error {
	changed, stop := s.o.Source.Changed() // before the status is read, so that no change is missed
	defer stop()
	keepAlive := time.NewTicker(s.pace.keepAlive)
	defer keepAlive.Stop()
	var sent []byte
	var settled <-chan time.Time
	err := s.send(out, &sent)
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if settled == nil {
				settled = time.After(s.pace.debounce)
			}
		case <-settled:
			settled = nil
			err = s.send(out, &sent)
		case <-keepAlive.C:
			err = out.write([]byte(": keep-alive\n\n"))
		}
	}
	return err
}

// send sends the status, unless it is what was sent last.
func (s *Server) send(out events, sent *[]byte) error {
	data, err := json.Marshal(statusOf(s.o.Source)) // has no line breaks
	if err != nil || bytes.Equal(data, *sent) {
		return err
	}
	*sent = data
	return out.write(fmt.Appendf(nil, "event: status\ndata: %s\n\n", printable.JSON(data)))
}

// events writes to one client.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

func (e events) write(text []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil {
		return err
	}
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.control.Flush()
}
