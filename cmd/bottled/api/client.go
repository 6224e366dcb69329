package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// ErrNoController means that no process listens on the socket.
var ErrNoController = errors.New("no controller runs")

const (
	// answerTimeout limits how long a controller takes for an answer that is no stream.
	answerTimeout = 10 * time.Second
	maxErrorBody  = 4096 // bytes
	// silence is how long a stream may be quiet: three keep-alive intervals.
	silence = 45 * time.Second
)

// Client talks to the controller that listens on a unix socket.
type Client struct {
	socket  string
	http    *http.Client
	silence time.Duration
}

// Dial returns a client. It connects for every call, so a controller may come and go in between.
func Dial(socket string) *Client {
	c := &Client{socket: socket, silence: silence}
	c.http = &http.Client{Transport: &http.Transport{DialContext: c.dial, DisableKeepAlives: true, ResponseHeaderTimeout: answerTimeout}}
	return c
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if len(c.socket) > maxSocketPath { // no controller can listen there
		return nil, fmt.Errorf("%w: its socket's path %s is longer than the kernel allows", ErrNoController, c.socket)
	}
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "unix", c.socket)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%w: nobody listens at %s", ErrNoController, c.socket)
	}
	return conn, err
}

// Status reads the status. The error of this and all other calls wraps ErrNoController where no controller runs.
func (c *Client) Status(ctx context.Context) (reconciler.Status, error) {
	var live reconciler.Status
	return live, c.call(ctx, http.MethodGet, "/v1/status", nil, http.StatusOK, &live)
}

// Sync requests a full resync. It is done when ControllerStatus.Syncs has reached the number. With prune, it also removes the bottles
// that are kept because their removal looks like an accident.
func (c *Client) Sync(ctx context.Context, prune bool) (int64, error) {
	path := "/v1/sync"
	if prune {
		path += "?prune=all"
	}
	var answer syncAnswer
	err := c.call(ctx, http.MethodPost, path, nil, http.StatusAccepted, &answer)
	return answer.Syncs, err
}

// Events reads the last events of a bottle, of all and the controller without a name, by ID; only those with a greater ID than after.
func (c *Client) Events(ctx context.Context, bottle string, after uint64) ([]reconciler.Event, error) {
	var answer eventsAnswer
	err := c.call(ctx, http.MethodGet, "/v1/events?"+eventValues(bottle, after), nil, http.StatusOK, &answer)
	return answer.Events, err
}

// WatchActivity calls show with what the bottles use and do, as long as it runs. Otherwise it is like Watch.
func (c *Client) WatchActivity(ctx context.Context, show func(reconciler.Activity) error) error {
	return watch(ctx, c, "/v1/activity/stream", "activity", show)
}

// Traffic reads what a bottle's sidecars have reported of its requests.
func (c *Client) Traffic(ctx context.Context, bottle string) (reconciler.BottleTraffic, error) {
	var all reconciler.BottleTraffic
	err := c.call(ctx, http.MethodGet, "/v1/bottles/"+url.PathEscape(bottle)+"/traffic", nil, http.StatusOK, &all)
	return all, err
}

func eventValues(bottle string, after uint64) string {
	return url.Values{"bottle": {bottle}, "after": {strconv.FormatUint(after, 10)}}.Encode()
}

// Order gives an order for a bottle, or with a component for that. It is carried out when the bottle is not Reconciling any more. The
// error of a wrong order is in the controller's words.
func (c *Client) Order(ctx context.Context, bottle string, order reconciler.Order, component state.ComponentName) error {
	path := "/v1/bottles/" + url.PathEscape(bottle) + "/" + string(order)
	if component != "" {
		path += "?" + url.Values{"component": {string(component)}}.Encode()
	}
	return c.call(ctx, http.MethodPost, path, nil, http.StatusAccepted, &struct{}{})
}

// refusal is what a controller says against a request, in its words.
type refusal struct {
	text   string
	status int
}

func (r *refusal) Error() string { return r.text }

// Is says what the source's error was marked as.
func (r *refusal) Is(target error) bool {
	switch target {
	case reconciler.ErrNoProposal:
		return r.status == http.StatusNotFound
	case reconciler.ErrDecision:
		return r.status == http.StatusConflict
	}
	return false
}

// Watch calls show with the status at once and after every change. It returns show's error as it is, ctx's when that ends, and
// otherwise why the stream ended: it does not connect again.
func (c *Client) Watch(ctx context.Context, show func(reconciler.Status) error) error {
	return watch(ctx, c, "/v1/status/stream", "status", show)
}

// WatchEvents calls show with the events that Events returns, and with each further one. Otherwise it is like Watch. To go on after
// the stream ended, give it the ID of the last event: IDs grow over restarts of the controller.
func (c *Client) WatchEvents(ctx context.Context, bottle string, after uint64, show func(reconciler.Event) error) error {
	return watch(ctx, c, "/v1/events/stream?"+eventValues(bottle, after), "event", show)
}

// watch calls show with the data of every server-sent event of a name.
func watch[T any](ctx context.Context, c *Client, path, name string, show func(T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(c.silence, func() { cancel(fmt.Errorf("the controller at %s has been silent for %s", c.socket, c.silence)) })
	defer quiet.Stop()
	resp, err := c.do(ctx, http.MethodGet, path, nil, http.StatusOK)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for {
		event, data, err := readEvent(r)
		if err != nil {
			return c.explain(ctx, err)
		}
		quiet.Reset(c.silence)
		if event != name {
			continue
		}
		var v T
		if err := json.Unmarshal(data, &v); err != nil {
			return c.explain(ctx, err)
		}
		quiet.Stop() // showing may take long
		if err := show(v); err != nil {
			return err
		}
		quiet.Reset(c.silence)
	}
}

// readEvent reads up to the next empty line; a comment alone is an event without a name.
// See https://html.spec.whatwg.org/multipage/server-sent-events.html.
func readEvent(r *bufio.Reader) (event string, data []byte, err error) {
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return "", nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return event, data, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			data = append(data, value...)
		}
	}
}

// call sends a request with a body of JSON, nil for none, and decodes the answer.
func (c *Client) call(ctx context.Context, method, path string, body []byte, want int, answer any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, fmt.Errorf("the controller at %s does not answer", c.socket))
	defer cancel()
	resp, err := c.do(ctx, method, path, body, want)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return c.explain(ctx, err)
	}
	return nil
}

func (c *Client) do(ctx context.Context, method, path string, body []byte, want int) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://controller"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	if resp.StatusCode == want {
		return resp, nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	text = bytes.TrimSpace(text)
	switch {
	case err != nil:
		return nil, c.explain(ctx, err)
	case !isUnknownPath(text) && (resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusConflict):
		return nil, &refusal{string(text), resp.StatusCode}
	}
	return nil, fmt.Errorf("the controller at %s answers %s: %s", c.socket, resp.Status, text)
}

// isUnknownPath reports whether an answer is that of a controller of another version, which does not know the endpoint.
func isUnknownPath(text []byte) bool { return string(text) == "404 page not found" }

// explain returns why a call failed: the cause of the end of its context, where that has ended.
func (c *Client) explain(ctx context.Context, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // without the URL, which says nothing
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrNoController):
		return err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the controller at %s: %w", c.socket, err)
}
