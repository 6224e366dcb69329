package page

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
)

const (
	// pace is the least time between two updates of a page.
	pace         = 250 * time.Millisecond
	keepAlive    = 15 * time.Second
	writeTimeout = 10 * time.Second // a browser that takes longer is dropped
)

// stream writes server-sent events to one browser.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *stream) write(text string) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

// send sends an event with a value as JSON, which has no line breaks.
func (s *stream) send(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.write("event: " + name + "\ndata: " + string(data) + "\n\n")
}

// stream begins a stream, if there are not too many, and has it written until the browser goes.
func (p *Page) stream(w http.ResponseWriter, r *http.Request, write func(*stream) error) {
	select {
	case p.streams <- struct{}{}:
		defer func() { <-p.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, fmt.Sprintf("%d pages are open already", maxStreams), http.StatusServiceUnavailable)
		return
	}
	out := &stream{w, http.NewResponseController(w)}
	if err := out.control.SetReadDeadline(time.Time{}); err != nil { // a request's would end the stream
		p.Log.Warn().Err(err).Msg("page: stream")
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	if err := write(out); err != nil && r.Context().Err() == nil {
		p.Log.Debug().Err(err).Msg("page: stream dropped")
	}
}

// update is what has changed of a list.
type update struct {
	List  string            `json:"list"`
	Order []string          `json:"order"` // the ids of its pieces
	HTML  map[string]string `json:"html"`  // of those that are new or have changed
}

// memory is what a browser has of a page.
type memory map[string]map[string]any

// changes returns what differs from what the browser has, and notes that it has it.
func (m memory) changes(lists []list) ([]update, error) {
	var all []update
	for _, l := range lists {
		had, known := m[l.ID]
		has := map[string]any{}
		u := update{List: l.ID, Order: []string{}, HTML: map[string]string{}}
		for _, one := range l.Pieces {
			has[one.ID] = one.Data
			u.Order = append(u.Order, one.ID)
			if before, there := had[one.ID]; there && reflect.DeepEqual(before, one.Data) {
				continue
			}
			var text strings.Builder
			if err := templates.ExecuteTemplate(&text, one.Template, one.Data); err != nil {
				return nil, err
			}
			u.HTML[one.ID] = text.String()
		}
		if !known || len(u.HTML) > 0 || len(had) != len(has) || m.reordered(l.ID, u.Order) {
			all = append(all, u)
		}
		m[l.ID] = has
		m["order of "+l.ID] = map[string]any{"": u.Order}
	}
	return all, nil
}

func (m memory) reordered(list string, order []string) bool {
	return !reflect.DeepEqual(m["order of "+list][""], any(order))
}

// live streams what changes on a page.
func (p *Page) live(w http.ResponseWriter, r *http.Request, s *Session) {
	lists, err := p.target(r, s)
	if err != nil {
		p.fail(w, http.StatusNotFound, s, "Not found", err.Error())
		return
	}
	p.stream(w, r, func(out *stream) error { return p.follow(r, out, lists) })
}

// follow sends what changes, until the browser goes or its session ends.
func (p *Page) follow(r *http.Request, out *stream, lists func(context.Context, reconciler.Activity) []list) error {
	changed, stop := p.Controller.Changed()
	defer stop()
	newest, leave := p.Controller.Look()
	defer leave()
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	seen := memory{}
	var activity reconciler.Activity
	due := time.After(0)
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-alive.C:
			if p.sessions.find(r) == nil {
				return out.send("ended", "session")
			}
			if err := out.write(": keep-alive\n\n"); err != nil {
				return err
			}
			continue
		case activity = <-newest:
		case <-changed:
		case <-due:
			due = nil
			if err := seen.send(out, lists(r.Context(), activity)); err != nil {
				return err
			}
			continue
		}
		if due == nil {
			due = time.After(pace)
		}
	}
}

// send sends what differs from what the browser has.
func (m memory) send(out *stream, lists []list) error {
	updates, err := m.changes(lists)
	if err != nil || len(updates) == 0 {
		return err
	}
	return out.send("lists", updates)
}

// target returns what makes the lists of the page that a stream is for.
func (p *Page) target(r *http.Request, s *Session) (func(context.Context, reconciler.Activity) []list, error) {
	query := r.URL.Query()
	switch query.Get("page") {
	case "index":
		q := indexQueryOf(query)
		return func(ctx context.Context, a reconciler.Activity) []list { return p.indexLists(ctx, p.snapshot(a), q, s) }, nil
	case "proposal":
		id := query.Get("id")
		return func(context.Context, reconciler.Activity) []list { return p.proposalLists(id) }, nil
	case "bottle":
		name := query.Get("bottle")
		if _, err := p.Controller.Status().Select([]string{name}); err != nil {
			return nil, err
		}
		spec, of := v1alpha1.Spec{}, "-"
		return func(ctx context.Context, a reconciler.Activity) []list {
			found, err := p.Controller.Status().Select([]string{name})
			if err != nil {
				return []list{{"bottle-state", []piece{{"state", "gone", nil}}}}
			}
			if of != found[0].ObservedSpecHash { // what is in force is another declaration
				if d, err := p.Details.Describe(ctx, name); err == nil {
					spec, of = d.Spec, found[0].ObservedSpecHash
				}
			}
			return p.bottleLists(found[0], spec, a, s)
		}, nil
	}
	return nil, errors.New("there is no such page")
}

// indexLists are the pieces of the first page.
func (p *Page) indexLists(ctx context.Context, now overview.Snapshot, q indexQuery, s *Session) []list {
	return []list{{"troubles", troubles(now)}, {"inbox", p.inbox(ctx, now, s)}, {"fleet", fleet(now, q)}}
}

// proposalLists is the state of a proposal. The page is loaded anew when that changes.
func (p *Page) proposalLists(id string) []list {
	for _, one := range p.Controller.Proposals() {
		if one.ID == id {
			return []list{{"proposal-state", []piece{{"proposal-now", "proposal-now", one}}}}
		}
	}
	return []list{{"proposal-state", []piece{}}}
}
