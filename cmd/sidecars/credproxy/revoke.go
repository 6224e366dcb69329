package credproxy

import (
	"errors"
	"reflect"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// errRevoked ends exchanges whose route is not what it was when they began.
var errRevoked = errors.New("the route was revoked")

var (
	errRouteRemoved = revocation("the route was removed")
	errRouteChanged = revocation("the route was changed")
	errTokenGone    = revocation("the route's token was taken away")
)

// revocation is a reason for errRevoked.
type revocation string

// Error implements error.
func (r revocation) Error() string { return string(r) }

// Is makes every revocation an errRevoked.
func (r revocation) Is(target error) bool { return target == errRevoked }

// at returns the route with a path; nil when there is none, or no table.
func (t *table) at(path string) *route {
	if t == nil {
		return nil
	}
	for _, r := range t.routes {
		if r.path == path {
			return r
		}
	}
	return nil
}

// revokes returns why an exchange that began under an older table must end; nil when it may go on.
func (t *table) revokes(x *exchange) error {
	if x.route == nil || x.table == t {
		return nil
	}
	now := t.match(x.target.path)
	if now != nil && now.path != x.route.path {
		return errRouteChanged // a longer one took the path over
	}
	return x.route.revokedBy(now)
}

// revokedBy returns why what a route allowed is not allowed by the one now in its place (nil for none). Another token in the
// same slot, rate limit or role of the agent's revokes nothing.
func (r *route) revokedBy(now *route) error {
	switch {
	case now == nil:
		return errRouteRemoved
	case now.npm != r.npm || now.python != r.python || !reflect.DeepEqual(binding(now.conf), binding(r.conf)):
		return errRouteChanged
	case now.missing != "" && r.missing == "":
		return errTokenGone
	}
	return nil
}

// binding returns what of a route's configuration its exchanges were judged by.
func binding(conf model.Route) model.Route {
	conf.RateLimit, conf.Roles, conf.GitURLs = nil, nil, nil
	return conf
}

// retire closes the connections of routes that the next table does not take over: at once those of revoked routes, when
// they are idle those that were made with other roots.
func (t *table) retire(next *table) {
	if t == nil {
		return
	}
	for _, r := range t.routes {
		now := next.at(r.path)
		switch {
		case r.revokedBy(now) != nil:
			r.upstreams.cut()
		case now.upstreams != r.upstreams:
			r.upstreams.close()
		}
	}
}

// endRevoked ends the exchanges that a new table does not allow.
func (w *watch) endRevoked(t *table) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for x := w.first; x != nil; x = x.next {
		if cause := t.revokes(x); cause != nil {
			x.cancel(cause)
		}
	}
}
