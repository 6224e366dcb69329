package credproxy

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
)

// ownURL is how the agent reaches cred-proxy (contract).
var ownURL = contract.CredProxy.URL()

// rewritePackages has the addresses in an npm registry's answer lead to the route. npm fetches a package from where the
// registry says it is: there it would have no token, which goes to nobody but the upstream.
func (r *route) rewritePackages(resp *http.Response) {
	if !r.npm || resp.StatusCode != http.StatusOK || resp.Request.Method != http.MethodGet || !isPlainJSON(resp.Header) {
		return
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{&replacing{from: resp.Body, old: []byte(`"` + r.upstreamURL()), new: []byte(`"` + ownURL + r.path)}, resp.Body}
	resp.ContentLength = -1
	for _, name := range []string{"Content-Length", "Content-Md5", "Digest", "Content-Digest", "Repr-Digest"} {
		resp.Header.Del(name)
	}
}

// withoutRepeatedBase returns the path of a package of npm as it is below the route. For a package that a lock file has at the upstream's
// own address, npm appends the whole path of that to the registry's (replace-registry-host; npm/cli#9672 mended it in 2026), with the upstream's path
// in it.
func (r *route) withoutRepeatedBase(path string) string {
	if !r.npm {
		return path
	}
	base := strings.TrimPrefix(upstreamPath(r.upstream), "/")
	rest, repeated := strings.CutPrefix(strings.TrimPrefix(path, r.path), base)
	// Only a package's path has this segment, and its name has no slash but for the one of a scope.
	if !repeated || base == "" || base[0] == '@' || !strings.Contains(rest, "/-/") {
		return path
	}
	return r.path + rest
}

// isPlainJSON tells of JSON, whatever it is called, that is not compressed.
func isPlainJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	encoding := h.Get("Content-Encoding")
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) && (encoding == "" || encoding == "identity")
}
