package credproxy

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/rs/zerolog"

	egress "github.com/bot-bottle/bottled/cmd/sidecars/pipelock"
	"github.com/bot-bottle/bottled/cmd/sidecars/sidecar"
	model "github.com/bot-bottle/bottled/manifests/route"
	kind "github.com/bot-bottle/bottled/state/component/credproxy"
	"github.com/bot-bottle/bottled/state/configdigest"
)

const (
	routesFile        = kind.RoutesFile
	caFile            = kind.CAFile
	allowlistFile     = kind.AllowlistFile
	maxCABytes        = 4 << 20
	maxAllowlistBytes = 2 << 20
)

type logger = zerolog.Logger

type directories struct{ config, token string }

// table is everything that a request needs to know. It never changes: a reload makes a new one, and a
// request keeps the one it began with.
type table struct {
	digest string
	routes []*route     // the longest path first
	hosts  egress.Hosts // that the client may be redirected to
}

type route struct {
	conf           model.Route
	path           string
	upstreams      *upstreams // the route's own connections; those of the route before if that was the same
	upstream       *url.URL
	auth           auth
	missing        string // why there is no token; empty when there is one
	query          queryRules
	headers        map[string]string // that each request gets
	methods        []string
	allow, deny    []pathRule
	limit          *limit
	maxBody        int64
	allowSetCookie bool
	npm            bool // the upstream is a registry of npm packages
	python         bool // the upstream is an index of Python packages
	cargo          bool // the upstream is a registry of Rust crates
}

// sort puts the longest path first.
func (t *table) sort() {
	slices.SortFunc(t.routes, func(a, b *route) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.path, b.path))
	})
}

// match returns the route with the longest path that is a prefix of a raw request path.
func (t *table) match(rawPath string) *route {
	for _, r := range t.routes {
		if strings.HasPrefix(rawPath, r.path) {
			return r
		}
	}
	return nil
}

// sameSecret reports whether two routes have the same token, or none for the same reason.
func (r *route) sameSecret(other *route) bool {
	return r.missing == other.missing && r.auth.token.equal(other.auth.token)
}

// redact returns text without any of the secrets.
func (t *table) redact(text string) string {
	if t == nil {
		return text
	}
	for _, r := range t.routes {
		text = r.auth.token.redact(text)
	}
	return text
}

// loader reads the configuration and puts it in force.
type loader struct {
	dirs     directories
	pipelock *url.URL
	audit    *auditLog
	table    atomic.Pointer[table]

	exchanges watch

	dialer *dialer // in force; nil before the first load
	roots  [sha256.Size]byte
}

// load implements sidecar.Program's Load. A token that can't be had makes its route unavailable, not the
// others.
func (l *loader) load() (sidecar.Loaded, error) {
	files, err := l.readFiles()
	if err != nil {
		return sidecar.Loaded{}, err
	}
	conf, err := model.Parse(files[routesFile])
	if err != nil {
		return sidecar.Loaded{}, err
	}
	dialer, err := l.newDialer(files[caFile])
	if err != nil {
		return sidecar.Loaded{}, err
	}
	old := l.table.Load()
	next := &table{digest: configdigest.Of(files)}
	if next.hosts, err = egress.NewHosts(strings.Fields(string(files[allowlistFile]))); err != nil {
		return sidecar.Loaded{}, fmt.Errorf("%s: %w", allowlistFile, err)
	}
	for _, r := range conf {
		parsed, err := l.newRoute(r, old.at(r.Path), dialer)
		if err != nil {
			return sidecar.Loaded{}, err
		}
		next.routes = append(next.routes, parsed)
	}
	next.sort()
	if err := l.recordCredentials(old, next); err != nil {
		return sidecar.Loaded{}, err
	}
	l.table.Store(next)
	l.exchanges.endRevoked(next)
	old.retire(next)
	return sidecar.Loaded{Digest: next.digest}, nil
}

func (l *loader) readFiles() (map[string][]byte, error) {
	routes, err := readLimited(filepath.Join(l.dirs.config, routesFile), model.MaxBytes)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{routesFile: routes}
	for name, limit := range map[string]int64{caFile: maxCABytes, allowlistFile: maxAllowlistBytes} {
		data, err := readLimited(filepath.Join(l.dirs.config, name), limit)
		switch {
		case err == nil:
			files[name] = data
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	return files, nil
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return data, nil
}

// newRoute returns a route that takes over what an old one with the same path (nil for none) has in use.
func (l *loader) newRoute(conf model.Route, old *route, dialer *dialer) (*route, error) {
	r, err := routeOf(conf)
	if err != nil {
		return nil, err
	}
	r.limit = newLimit(conf.RateLimit, old)
	if r.auth.token, err = readToken(l.dirs.token, conf.TokenSlot); err != nil {
		r.missing = err.Error()
	}
	r.headers = r.fixedHeaders()
	if old != nil && old.upstreams.dialer == dialer && old.revokedBy(r) == nil {
		r.upstreams = old.upstreams
	} else {
		r.upstreams = newUpstreams(dialer)
	}
	return r, nil
}

// routeOf returns the route that is configured, without what it needs in use: its token, limit and connections.
func routeOf(conf model.Route) (*route, error) {
	upstream, err := url.Parse(conf.Upstream)
	if err != nil {
		return nil, fmt.Errorf("route %q: upstream is not a URL", conf.Path)
	}
	r := &route{
		conf: conf, path: conf.Path, upstream: upstream, auth: auth{scheme: conf.AuthScheme, header: conf.AuthHeader, query: conf.AuthQuery},
		query: queryRules{own: conf.AuthQuery, allow: conf.AllowQuery}, methods: conf.Methods, maxBody: cmp.Or(conf.MaxRequestBodyBytes(), model.DefaultMaxRequestBody), allowSetCookie: conf.AllowSetCookie,
	}
	r.npm, r.python, r.cargo = conf.Has(model.RoleNPMRegistry), conf.Has(model.RolePipIndex), conf.Has(model.RoleCargoRegistry)
	if conf.Paths != nil {
		r.allow, r.deny = newRules(conf.Paths.Allow), newRules(lowerAll(conf.Paths.Deny))
	}
	return r, nil
}

func lowerAll(texts []string) []string {
	var lower []string
	for _, text := range texts {
		lower = append(lower, strings.ToLower(text))
	}
	return lower
}

// newDialer returns the dialer for a set of roots: the one in use when they are the same, so that connections live on.
// It is in use from the next load on that succeeds.
func (l *loader) newDialer(caPEM []byte) (*dialer, error) {
	sum := sha256.Sum256(caPEM)
	if l.dialer != nil && l.roots == sum {
		return l.dialer, nil
	}
	pool, err := rootPool(caPEM)
	if err != nil {
		return nil, err
	}
	l.dialer, l.roots = newDialer(l.pipelock, pool), sum
	return l.dialer, nil
}

// recordCredentials puts on record which routes get a new token, and which have none that can be sent. Like a request, a token
// that can't be put on record is not used.
func (l *loader) recordCredentials(old, next *table) error {
	for _, r := range next.routes {
		if before := old.at(r.path); before != nil && before.revokedBy(r) == nil && before.sameSecret(r) {
			continue
		}
		if err := l.audit.write(l.audit.credentialLine(r)); err != nil {
			return fmt.Errorf("route %s: write to the audit log: %w", r.path, err)
		}
	}
	return nil
}
