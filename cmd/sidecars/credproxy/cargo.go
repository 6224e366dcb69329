package credproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// maxCargoConfig is the longest config.json of a Cargo registry, in bytes.
const maxCargoConfig = 64 << 10

// cargoMarkers are what Cargo replaces in dl (https://doc.rust-lang.org/cargo/reference/registry-index.html), which url.URL encodes.
var cargoMarkers = strings.NewReplacer("%7B", "{", "%7D", "}")

// isCargoConfig reports whether a request is for the configuration of a Cargo registry's index.
func (x *exchange) isCargoConfig() bool {
	return x.route.cargo && x.in.Method == http.MethodGet && slices.ContainsFunc(model.CargoIndexes, func(index string) bool {
		return x.target.path == x.route.path+index+"config.json"
	})
}

// rewriteCargoConfig has the configuration of a Cargo registry lead to the route: to its crates (dl) and its API (api). What is elsewhere
// stays if a redirect could lead there; otherwise dl is an error, and api is left out, which Cargo needs to publish and search only. So is
// auth-required, since the route logs in.
func (x *exchange) rewriteCargoConfig(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK || !x.isCargoConfig() {
		return nil
	}
	config, err := readCargoConfig(resp)
	if err != nil {
		return fmt.Errorf("the registry's config.json: %w", err)
	}
	if err := x.rewriteCargoURL(config, "dl"); err != nil {
		return fmt.Errorf("dl in the registry's config.json: %w", err)
	}
	if x.rewriteCargoURL(config, "api") != nil {
		delete(config, "api")
	}
	delete(config, "auth-required")
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("the registry's config.json: %w", err)
	}
	setBody(resp, bytes.NewReader(text), int64(len(text)))
	return nil
}

func readCargoConfig(resp *http.Response) (map[string]any, error) {
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return nil, errors.New("it is compressed, which nobody asked for")
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxCargoConfig+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCargoConfig {
		return nil, fmt.Errorf("it has more than %d bytes", maxCargoConfig)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil || config == nil {
		return nil, errors.New("it is not a JSON object")
	}
	return config, nil
}

// rewriteCargoURL replaces a URL of a registry's configuration by one that clients may use.
func (x *exchange) rewriteCargoURL(config map[string]any, key string) error {
	text, ok := config[key].(string)
	if !ok {
		return errors.New("it is not a text")
	}
	to, err := url.Parse(text)
	if err != nil {
		return errors.New("it is not a URL")
	}
	if to.EscapedPath()+"/" == upstreamPath(x.route.upstream) {
		to.Path += "/"
	}
	if own := x.route.ownPath(to); own != "" {
		config[key] = ownURL + strings.TrimSuffix(cargoMarkers.Replace(own), "/") // Cargo appends /…
		return nil
	}
	if err := x.mayLeave(to, text); err != nil {
		return err
	}
	to.User = nil
	config[key] = cargoMarkers.Replace(to.String())
	return nil
}

// setBody replaces a response's body; length is in bytes, -1 for not known.
func setBody(resp *http.Response, body io.Reader, length int64) {
	resp.Body = struct {
		io.Reader
		io.Closer
	}{body, resp.Body}
	resp.ContentLength = length
	for _, name := range []string{"Content-Length", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		resp.Header.Del(name)
	}
	if length >= 0 {
		resp.Header.Set("Content-Length", strconv.FormatInt(length, 10))
	}
}
