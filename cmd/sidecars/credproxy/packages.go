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

// isPlainJSON tells of JSON, whatever it is called, that is not compressed.
func isPlainJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	encoding := h.Get("Content-Encoding")
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json")) && (encoding == "" || encoding == "identity")
}
