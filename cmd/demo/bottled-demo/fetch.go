package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// maxShown is how much of an answer's body is printed, in bytes.
const maxShown = 4 << 10

// request is one HTTP request as the command line describes it.
type request struct {
	method, url, body string
	headers           []string // "Name: value"
	direct            bool     // ignore HTTP_PROXY, HTTPS_PROXY and NO_PROXY
	timeout           time.Duration
}

func fetchCommand() *cobra.Command {
	var r request
	cmd := &cobra.Command{
		Use:   "fetch URL",
		Short: "Make one HTTP request, by way of HTTP_PROXY, HTTPS_PROXY and NO_PROXY",
		Long: `Make one HTTP request, by way of HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Prints the status line and at most 4 KiB of
the body, or all events of a stream. Redirects are not followed. SSL_CERT_FILE names the authorities to trust; the image has none of its own.

Exits with 0 when the answer is a 2xx, otherwise with 1.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.url = args[0]
			return r.do(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVarP(&r.method, "request", "X", "", "`method` (default GET; POST with -d)")
	f.StringArrayVarP(&r.headers, "header", "H", nil, "`header` to send, \"Name: value\"; may be repeated")
	f.StringVarP(&r.body, "data", "d", "", "`body` to send")
	f.BoolVar(&r.direct, "direct", false, "use no proxy, whatever the environment says")
	f.DurationVar(&r.timeout, "timeout", 5*time.Second, "for the whole request")
	return cmd
}

func (r request) do(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	req, err := r.build(ctx)
	if err != nil {
		return err
	}
	resp, err := r.client().Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %s: %w", why(err), err)
	}
	defer resp.Body.Close()
	fmt.Fprintf(out, "%s %s\n", resp.Proto, resp.Status)
	if resp.Header.Get("Content-Type") == eventStream {
		_, err = io.Copy(out, resp.Body) // as it comes
	} else {
		err = show(out, resp.Body)
	}
	if err != nil {
		return fmt.Errorf("the answer broke off: %s: %w", why(err), err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("not a success: %s", resp.Status)
	}
	return nil
}

func (r request) build(ctx context.Context) (*http.Request, error) {
	method, body := r.method, io.Reader(http.NoBody)
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	if method == "" && r.body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url, body)
	if err != nil {
		return nil, err
	}
	for _, h := range r.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("header %q: write it as \"Name: value\"", h)
		}
		req.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		if strings.EqualFold(strings.TrimSpace(name), "Host") {
			req.Host = strings.TrimSpace(value)
		}
	}
	return req, nil
}

func (r request) client() *http.Client {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, OnProxyConnectResponse: explainConnect, ForceAttemptHTTP2: true}
	if r.direct {
		transport.Proxy = nil
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// explainConnect keeps what the proxy says about a tunnel that it refuses; http.Transport drops it.
func explainConnect(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	reason := &strings.Builder{}
	if err := show(reason, io.LimitReader(resp.Body, 512)); err != nil {
		return errors.Join(fmt.Errorf("the proxy answered %s", resp.Status), err)
	}
	return fmt.Errorf("the proxy answered %s: %s", resp.Status, strings.TrimSpace(reason.String()))
}

// show copies the beginning of a body, so that it ends with a line's end.
func show(out io.Writer, body io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(body, maxShown+1))
	text := string(data)
	if len(data) > maxShown {
		text = text[:maxShown] + "\n… (cut)"
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	_, writeErr := io.WriteString(out, text)
	return errors.Join(err, writeErr)
}
