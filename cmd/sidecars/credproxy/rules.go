package credproxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// checkMethod judges a request's method by the route's list. GET includes HEAD, which gets less.
func (r *route) checkMethod(method string) *denial {
	if len(r.methods) == 0 || slices.Contains(r.methods, method) || method == http.MethodHead && slices.Contains(r.methods, http.MethodGet) {
		return nil
	}
	return deny(http.StatusMethodNotAllowed, "route %s allows only %s", r.path, strings.Join(r.methods, ", ")).
		with("Allow", strings.Join(r.methods, ", "))
}

// checkPath judges a request's path, which begins with the route's, by the route's rules.
func (r *route) checkPath(path string) *denial {
	if len(r.allow) == 0 && len(r.deny) == 0 {
		return nil
	}
	readings, err := decodings("/"+strings.TrimPrefix(path, r.path), url.PathUnescape)
	if err != nil {
		return deny(http.StatusBadRequest, "the path: %v", err)
	}
	if slices.ContainsFunc(readings, r.isDenied) || !r.isAllowed(readings) {
		return deny(http.StatusForbidden, "route %s does not allow this path", r.path)
	}
	return nil
}

// isDenied errs on the side of yes: it reads a path as the most lenient server would, without case, empty
// segments, parameters and dots and spaces at a segment's end.
func (r *route) isDenied(reading string) bool {
	segments := slices.DeleteFunc(strings.Split(strings.ToLower(reading), "/"), func(s string) bool { return s == "" })
	for i, s := range segments {
		s, _, _ = strings.Cut(s, ";")
		segments[i] = strings.TrimRight(strings.TrimSpace(s), ". ")
	}
	return slices.ContainsFunc(r.deny, func(rule pathRule) bool { return rule.covers(segments) })
}

// isAllowed errs on the side of no: every reading must be covered as it stands. The encoded form is not one: no
// server compares it, and in a decoded one an encoded slash is a slash.
func (r *route) isAllowed(readings []string) bool {
	if len(r.allow) == 0 {
		return true
	}
	if len(readings) > 1 {
		readings = readings[1:]
	}
	return !slices.ContainsFunc(readings, func(reading string) bool {
		segments := strings.Split(strings.TrimPrefix(reading, "/"), "/")
		return !slices.ContainsFunc(r.allow, func(rule pathRule) bool { return rule.covers(segments) })
	})
}

// pathRule is the segments of a path; * stands for any one.
type pathRule []string

func newRules(paths []string) []pathRule {
	var rules []pathRule
	for _, path := range paths {
		rules = append(rules, strings.Split(strings.Trim(path, "/"), "/"))
	}
	return rules
}

// covers reports whether a path is the rule's or below it.
func (p pathRule) covers(segments []string) bool {
	if len(segments) < len(p) {
		return false
	}
	for i, want := range p {
		if want != segments[i] && (want != "*" || segments[i] == "") {
			return false
		}
	}
	return true
}

// limit is a route's token bucket. A nil limit is none.
type limit struct {
	conf   model.RateLimit
	bucket *rate.Limiter
}

// newLimit goes on with the bucket of the route before, if it has the same size.
func newLimit(conf *model.RateLimit, old *route) *limit {
	if conf == nil {
		return nil
	}
	if old != nil && old.limit != nil && old.limit.conf == *conf {
		return old.limit
	}
	burst := conf.Burst
	if burst == 0 {
		burst = conf.RequestsPerMinute
	}
	return &limit{conf: *conf, bucket: rate.NewLimiter(rate.Limit(float64(conf.RequestsPerMinute)/60), int(burst))}
}

// take takes one request out of the bucket. If there is none it returns when to come again.
func (l *limit) take(now time.Time) (wait time.Duration) {
	if l == nil {
		return 0
	}
	reservation := l.bucket.ReserveN(now, 1)
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}
