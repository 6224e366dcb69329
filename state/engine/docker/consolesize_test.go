package docker

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// engineOf is an engine whose API has a version and answers by the handler.
func engineOf(t *testing.T, version string, handler http.HandlerFunc) *Engine {
	t.Helper()
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(handler)
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	c, err := client.NewClientWithOpts(client.WithHost("unix://"+listener.Addr().String()), client.WithVersion(version))
	if err != nil {
		t.Fatal(err)
	}
	return &Engine{client: c, files: &files{}}
}

// A newer engine gets the size when the terminal is created, so that no program sees another one.
func TestSizeFromTheStart(t *testing.T) {
	sizes := map[string][]any{}
	e := engineOf(t, "1.44", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			ConsoleSize any
			HostConfig  struct{ ConsoleSize any }
		}
		if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&body) == nil {
			what := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
			sizes[what] = append(sizes[what], body.ConsoleSize, body.HostConfig.ConsoleSize)
		}
		w.WriteHeader(http.StatusInternalServerError)
	})
	tty := &engine.Terminal{Width: 99, Height: 33}
	if _, err := e.CreateSession(t.Context(), state.Container{Name: "x", Networks: []state.Attachment{{Network: "n"}}}, tty); err == nil {
		t.Fatal("it was created by a server that fails")
	}
	if _, err := e.Exec(t.Context(), "id", []string{"x"}, true, tty); err == nil {
		t.Fatal("it was run by a server that fails")
	}
	if _, err := e.Exec(t.Context(), "id", []string{"x"}, true, nil); err == nil {
		t.Fatal("it was run by a server that fails")
	}
	want := `{"create":[null,[33,99]],"exec":[[33,99],null,null,null]}`
	if got, err := json.Marshal(sizes); err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

// An older engine is asked again and again until the process runs, and no longer.
func TestSizeEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := client.NewClientWithOpts(client.WithVersion("1.41"))
		if err != nil {
			t.Fatal(err)
		}
		e := &Engine{client: c}
		for succeeds, want := range map[int32]int32{3: 3, 1 << 30: int32(sizeTimeout/sizeInterval) + 1} {
			var asked atomic.Int32
			p := &process{resize: func(_ context.Context, size container.ResizeOptions) error {
				if size.Width != 99 || size.Height != 33 {
					t.Errorf("%+v", size)
				}
				if asked.Add(1) < succeeds {
					return errors.New("it does not run yet")
				}
				return nil
			}}
			e.sizeEarly(t.Context(), p, &engine.Terminal{Width: 99, Height: 33})
			time.Sleep(2 * sizeTimeout)
			if got := asked.Load(); got < min(want, succeeds)-1 || got > want {
				t.Errorf("asked %d times, want %d", got, want)
			}
			e.sizeEarly(t.Context(), p, &engine.Terminal{}) // of no known size
			e.sizeEarly(t.Context(), p, nil)
			time.Sleep(time.Second)
			if got := asked.Load(); got > want {
				t.Errorf("asked %d times", got)
			}
		}
	})
}
