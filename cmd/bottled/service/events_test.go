package service

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/cmd/bottled/api"
	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
)

// socketService is a service whose controller's socket can be listened on.
func socketService(t *testing.T) *Service {
	t.Helper()
	dir, err := os.MkdirTemp("", "bottled") // t.TempDir's path may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return &Service{Settings: Settings{Owner: "me", StateDir: dir, RunDir: filepath.Join(dir, "run"), Timeout: 10 * time.Second}, Log: zerolog.Nop()}
}

// serve has a controller answer until stop is called.
func serve(t *testing.T, s *Service, source api.Source) (stop func()) {
	t.Helper()
	socket, err := s.Settings.socket()
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.Listen(t.Context(), api.Options{Source: source, Metrics: prometheus.NewRegistry(), Socket: socket, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx) }()
	return func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}
}

func TestEvents(t *testing.T) {
	s := socketService(t)
	show := func(shown *[]uint64) func(reconciler.Event) error {
		return func(e reconciler.Event) error { *shown = append(*shown, e.ID); return nil }
	}
	if err := s.Events(t.Context(), EventsOptions{}, nil); err == nil || !strings.Contains(err.Error(), "only it remembers events") {
		t.Errorf("without a controller: %v", err)
	}
	source := &apitest.Source{}
	source.Set(apitest.Status(apitest.Bottle("dev", "Ready", ""), apitest.Bottle("quiet", "Ready", "")))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for id := range uint64(3) {
		source.Record(reconciler.Event{ID: id + 1, Bottle: []string{"dev", "", "dev"}[id], Time: at.Add(time.Duration(id) * time.Second)})
	}
	defer serve(t, s, source)()
	for _, c := range []struct {
		o    EventsOptions
		want string
		says string
	}{
		{o: EventsOptions{}, want: "[1 2 3]"},
		{o: EventsOptions{Bottle: "dev"}, want: "[1 3]"},
		{o: EventsOptions{Bottle: "dev", Since: at.Add(time.Second)}, want: "[3]"},
		{o: EventsOptions{Bottle: "quiet"}, want: "[]"},
		{o: EventsOptions{Bottle: "none"}, want: "[]", says: `there is no bottle "none"`},
	} {
		shown := []uint64{}
		err := s.Events(t.Context(), c.o, show(&shown))
		if fmt.Sprint(shown) != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v, %v, want %s, %q", c.o, shown, err, c.want, c.says)
		}
	}
}

// TestEventsFollow goes on where it was when the controller is another one.
func TestEventsFollow(t *testing.T) {
	s, source := socketService(t), &apitest.Source{}
	source.Record(reconciler.Event{ID: 1, Bottle: "dev"})
	stop := serve(t, s, source)
	ctx, cancel := context.WithCancel(t.Context())
	events, ended := make(chan uint64), make(chan error, 1)
	go func() {
		ended <- s.Events(ctx, EventsOptions{Bottle: "dev", Follow: true}, func(e reconciler.Event) error { events <- e.ID; return nil })
	}()
	got := []uint64{<-events}
	source.Record(reconciler.Event{ID: 2, Bottle: "dev"})
	got = append(got, <-events)
	stop()
	source.Record(reconciler.Event{ID: 3, Bottle: "dev"})
	stop = serve(t, s, source)
	got = append(got, <-events)
	cancel()
	if err := <-ended; err != nil || !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	stop()
}
