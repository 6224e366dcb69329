package credproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/bot-bottle/bottled/cmd/sidecars/credproxy/http1"
	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	"github.com/bot-bottle/bottled/state/audit"
)

// forward makes the request to the upstream and passes the response on.
func (x *exchange) forward() {
	if x.client == nil {
		defer context.AfterFunc(x.in.Context(), func() { x.cancel(errClientLeft) })()
	}
	out := x.outgoing()
	defer x.leaveBody()
	resp, err := x.route.upstreams.roundTrip(x, out)
	if err != nil {
		x.fail(err)
		return
	}
	defer resp.Body.Close()
	x.life.Touch()
	if err := x.checkResponse(resp); err != nil {
		x.fail(err)
		return
	}
	x.noteRejection(resp)
	if memory, _ := headerMemory(resp.Header); x.share.take(memory-headerShare) != nil {
		x.fail(fmt.Errorf("the upstream's header is large: %w", http1.ErrNoMemory))
		return
	}
	err = x.passHeader(resp)
	if err == nil {
		err = x.passBody(resp)
	}
	if err != nil {
		x.err = x.reason(err)
		panic(http.ErrAbortHandler) // the client must see that it has not got everything
	}
	x.passTrailer(resp)
}

// outgoing is the request to the upstream.
func (x *exchange) outgoing() *http.Request {
	raw := upstreamPath(x.route.upstream) + strings.TrimPrefix(x.target.path, x.route.path)
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		// Both halves were checked; sending the encoded form twice encoded is the harmless failure.
		decoded = raw
	}
	header := requestHeader(x.in.Header)
	x.route.auth.stripOwn(header)
	setFixed(header, x.route.headers)
	query := x.route.auth.inject(header, x.target.query)
	out := &http.Request{
		Method: x.in.Method, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: x.route.upstream.Host, Header: header,
		URL: &url.URL{Scheme: x.route.upstream.Scheme, Host: x.route.upstream.Host, Path: decoded, RawPath: raw, RawQuery: query},
	}
	if x.in.ContentLength != 0 {
		x.openBody()
		out.Body, out.ContentLength = x.body, x.in.ContentLength
	}
	return out
}

// openBody lets the response begin before the request's body has ended.
func (x *exchange) openBody() {
	x.body = http1.NewBody(x.in, x.route.maxBody, &x.life)
	_ = http.NewResponseController(x.w.ResponseWriter).EnableFullDuplex() // both servers can do it
}

// leaveBody ends the use of the client's body, which may be on its way to the upstream still, in a goroutine that a read
// without end would hold for ever. A client that has not sent all gets a moment to read the response: closing a
// connection with unread data would take the response away from it.
func (x *exchange) leaveBody() {
	if x.body == nil {
		return
	}
	if !x.body.Unread() {
		x.body.Abandon()
		return
	}
	deadline := time.Now()
	if x.client != nil {
		deadline = deadline.Add(bodyGrace)
	}
	_ = http.NewResponseController(x.w.ResponseWriter).SetReadDeadline(deadline) // both servers can do it
	x.life.Abort()
	x.body.Abandon()
	_, _ = io.CopyN(io.Discard, x.in.Body, skippedBody) // its end or the deadline
}

// checkResponse judges the final response; interim (1xx) ones have been dropped by the transport.
func (x *exchange) checkResponse(resp *http.Response) error {
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return errors.New("the upstream switched protocols without being asked")
	case resp.StatusCode < http.StatusOK:
		return fmt.Errorf("the upstream's status %d is none", resp.StatusCode)
	}
	if err := x.rewriteCargoConfig(resp); err != nil {
		return err
	}
	x.route.rewritePackages(resp)
	x.route.rewriteLinks(resp.Header)
	return x.rewriteLocation(resp)
}

// noteRejection notes, for the audit log, that the upstream did not accept the credential. Without TLS the response may be
// pipelock's own refusal, which says nothing about the credential.
func (x *exchange) noteRejection(resp *http.Response) {
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return
	}
	if code := resp.Header.Get(sidecar.BlockedHeader); code != "" && x.route.upstream.Scheme == "http" {
		x.cause = "pipelock refused the request: " + code
		return
	}
	x.code, x.cause = audit.CodeCredentialRejected, fmt.Sprintf("%s answered %d", x.route.upstream.Host, resp.StatusCode)
}

// passHeader sends the response's header on.
func (x *exchange) passHeader(resp *http.Response) error {
	to := x.w.Header()
	dropped := connectionNames(resp.Header)
	for name, values := range resp.Header {
		if !dropped.has(name) && x.route.mayShow(name, values) {
			to[name] = values
		}
	}
	if x.announce(resp.Trailer); len(x.trailer) > 0 {
		to.Del("Content-Length") // HTTP/1 has a trailer only where the length is not given
		resp.ContentLength = -1
	}
	x.w.WriteHeader(resp.StatusCode)
	if resp.ContentLength >= 0 {
		return nil // the body is under way: one packet for both
	}
	if err := http.NewResponseController(x.w.ResponseWriter).Flush(); err != nil { // a stream may be silent at first
		return fmt.Errorf("write to the client: %w", err)
	}
	return nil
}

// announce names the trailer's fields in the header, as the upstream did.
func (x *exchange) announce(trailer http.Header) {
	for name := range trailer {
		if x.route.mayTrail(name, nil) {
			x.trailer = append(x.trailer, name)
			x.w.Header().Add("Trailer", name)
		}
	}
}

// passTrailer sends on what may be seen of the trailer, which is known only now.
func (x *exchange) passTrailer(resp *http.Response) {
	to := x.w.Header()
	for _, name := range x.trailer {
		to.Del(name) // the header's field of that name, which has been sent
	}
	for name, values := range resp.Trailer {
		switch {
		case !x.route.mayTrail(name, values):
		case x.trailer.has(name):
			to[name] = values
		default:
			to[http.TrailerPrefix+name] = values
		}
	}
}

// passBody copies the body, each piece at once.
func (x *exchange) passBody(resp *http.Response) error {
	flusher := http.NewResponseController(x.w.ResponseWriter)
	buffer := spare.Buffer()
	defer func() { buffer.Put() }()
	for {
		n, err := resp.Body.Read(buffer.Bytes)
		if n > 0 {
			x.life.Touch()
			x.life.Writes.Begin()
			if _, err := x.w.Write(buffer.Bytes[:n]); err != nil {
				return fmt.Errorf("write to the client: %w", err)
			}
			x.life.Writes.End()
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			_ = flusher.Flush() // what came before it
			return err
		case x.w.bytes == resp.ContentLength:
			continue // the end comes now and flushes
		}
		x.life.Writes.Begin()
		if err := flusher.Flush(); err != nil {
			return fmt.Errorf("write to the client: %w", err)
		}
		x.life.Writes.End()
		buffer = buffer.Fit(n)
	}
}

// requestHeader is what the upstream may see of the client's header.
func requestHeader(from http.Header) http.Header {
	to := make(http.Header, len(from)+3)
	dropped := connectionNames(from)
	for name, values := range from {
		if !dropped.has(name) && mayBeSent(name) {
			to[name] = values
		}
	}
	if httpguts.HeaderValuesContainsToken(from["Te"], "trailers") {
		to["Te"] = []string{"trailers"} // gRPC's servers insist on it
	}
	if _, given := to["User-Agent"]; !given {
		to["User-Agent"] = []string{""} // none, and not net/http's own
	}
	// A pipelock that scans what comes back refuses compressed answers.
	to["Accept-Encoding"] = []string{"identity"}
	return to
}
