package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/printable"
)

// pace is the timing of streams.
type streamTiming struct {
	debounce  time.Duration // changes within are sent as one
	keepAlive time.Duration // between keep-alive comments
	write     time.Duration // limit of one write; a client that takes longer is dropped
}

var defaultPace = streamTiming{debounce: 100 * time.Millisecond, keepAlive: 15 * time.Second, write: 10 * time.Second}

// stream makes the handler of a stream, which sends what sender's function finds, at once and after every change, until the client
// goes or the request's context ends.
func (s *Server) stream(sender func(*http.Request) (func(sseWriter) error, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		send, err := sender(r)
		if err != nil {
			http.Error(w, printable.Line(err.Error()), http.StatusBadRequest)
			return
		}
		s.open(w, r, func(out sseWriter) error { return s.streamChanges(r.Context(), out, send) })
	}
}

// open begins a stream, and has it written.
func (s *Server) open(w http.ResponseWriter, r *http.Request, write func(sseWriter) error) {
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	out := sseWriter{w, http.NewResponseController(w), s.pace.write}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil { // a request's would end the stream
		s.o.Log.Warn().Err(err).Msg("api: stream")
		return
	}
	if err := write(out); err != nil && r.Context().Err() == nil {
		s.o.Log.Debug().Err(err).Msg("api: stream dropped")
	}
}

// activity streams what the bottles use and do, which is measured as long as somebody looks.
func (s *Server) activity(w http.ResponseWriter, r *http.Request) {
	s.open(w, r, func(out sseWriter) error {
		newest, stop := s.o.Source.Look()
		defer stop()
		keepAlive := time.NewTicker(s.pace.keepAlive)
		defer keepAlive.Stop()
		var err error
		for err == nil {
			select {
			case <-r.Context().Done():
				return nil
			case a := <-newest:
				err = out.event("activity", a)
			case <-keepAlive.C:
				err = out.write([]byte(": keep-alive\n\n"))
			}
		}
		return err
	})
}

func (s *Server) streamChanges(ctx context.Context, out sseWriter, send func(sseWriter) error) error {
	changed, stop := s.o.Source.Changed() // before anything is read, so that no change is missed
	defer stop()
	keepAlive := time.NewTicker(s.pace.keepAlive)
	defer keepAlive.Stop()
	var settled <-chan time.Time
	err := send(out)
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
			err = send(out)
		case <-keepAlive.C:
			err = out.write([]byte(": keep-alive\n\n"))
		}
	}
	return err
}

// sendWhole sends the whole of something as events of a name, unless it is what was sent last. A slow client misses states in between,
// and never gets old ones.
func sendWhole[T any](name string, whole func() T) func(*http.Request) (func(sseWriter) error, error) {
	return func(*http.Request) (func(sseWriter) error, error) {
		var sent []byte
		return func(out sseWriter) error {
			data, err := json.Marshal(whole()) // has no line breaks
			if err != nil || bytes.Equal(data, sent) {
				return err
			}
			sent = data
			return out.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, printable.JSON(data)))
		}, nil
	}
}

// sendEvents sends each of the events that the request asks for once. A slow client misses those that the controller has dropped.
func sendEvents(list func(bottle string, after uint64) []reconciler.Event) func(*http.Request) (func(sseWriter) error, error) {
	return func(r *http.Request) (func(sseWriter) error, error) {
		bottle, after, err := eventQuery(r)
		return func(out sseWriter) error {
			for _, e := range list(bottle, after) {
				if err := out.event("event", e); err != nil {
					return err
				}
				after = e.ID
			}
			return nil
		}, err
	}
}

// eventQuery returns what a request for events asks for.
func eventQuery(r *http.Request) (bottle string, after uint64, err error) {
	query := r.URL.Query()
	if text := query.Get("after"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return "", 0, fmt.Errorf("after=%s: the ID of an event is a number", text)
		}
	}
	return query.Get("bottle"), after, nil
}

// sseWriter writes server-sent events to one client.
type sseWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// event writes an event of a name.
func (e sseWriter) event(name string, v any) error {
	data, err := json.Marshal(v) // has no line breaks
	if err != nil {
		return err
	}
	return e.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, printable.JSON(data)))
}

func (e sseWriter) write(text []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil {
		return err
	}
	if _, err := e.w.Write(text); err != nil {
		return err
	}
	return e.control.Flush()
}
