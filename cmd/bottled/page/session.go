package page

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	linkLasts    = 2 * time.Minute
	sessionLasts = 24 * time.Hour
	idleLasts    = 8 * time.Hour
	maxLinks     = 32
	maxSessions  = 32
)

// hash is what is kept of a secret.
type hash [sha256.Size]byte

func hashOf(secret string) hash { return sha256.Sum256([]byte(secret)) }

// Session is somebody who looks at the page.
type Session struct {
	User     string // who has asked for the link
	ReadOnly bool
	// Token has to be in every request that changes something. Nobody but the page itself can read it.
	Token string

	made, used time.Time
}

type link struct {
	user     string
	readOnly bool
	made     time.Time
}

// sessions are the links that were not used yet and the sessions that were opened with them. They are kept in memory: a restart of the
// controller ends them.
type sessions struct {
	mu    sync.Mutex
	links map[hash]link
	open  map[hash]*Session
}

// link makes a link's secret, which opens one session.
func (s *sessions) link(user string, readOnly bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		s.links, s.open = map[hash]link{}, map[hash]*Session{}
	}
	s.drop()
	if len(s.links) >= maxLinks {
		delete(s.links, oldest(s.links, func(l link) time.Time { return l.made }))
	}
	secret := rand.Text() + rand.Text()
	s.links[hashOf(secret)] = link{user, readOnly, time.Now()}
	return secret
}

// redeem opens a session for a link, once, and returns the secret of its cookie. Whatever cookie the browser had does not count.
func (s *sessions) redeem(secret string) (cookie string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	l, ok := s.links[hashOf(secret)]
	if !ok {
		return "", false
	}
	delete(s.links, hashOf(secret))
	if len(s.open) >= maxSessions {
		delete(s.open, oldest(s.open, func(o *Session) time.Time { return o.used }))
	}
	cookie = rand.Text() + rand.Text()
	now := time.Now()
	s.open[hashOf(cookie)] = &Session{User: l.user, ReadOnly: l.readOnly, Token: rand.Text() + rand.Text(), made: now, used: now}
	return cookie, true
}

// find returns the session of a cookie; nil when there is none.
func (s *sessions) find(cookie string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	found := s.open[hashOf(cookie)]
	if found == nil {
		return nil
	}
	found.used = time.Now()
	copied := *found
	return &copied
}

// end ends the session of a cookie.
func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, hashOf(cookie))
}

// drop forgets what is too old.
func (s *sessions) drop() {
	now := time.Now()
	for h, l := range s.links {
		if now.Sub(l.made) > linkLasts {
			delete(s.links, h)
		}
	}
	for h, o := range s.open {
		if now.Sub(o.made) > sessionLasts || now.Sub(o.used) > idleLasts {
			delete(s.open, h)
		}
	}
}

func oldest[V any](of map[hash]V, made func(V) time.Time) hash {
	var all []hash
	for h := range of {
		all = append(all, h)
	}
	return slices.MinFunc(all, func(a, b hash) int { return cmp.Compare(made(of[a]).UnixNano(), made(of[b]).UnixNano()) })
}

// allows reports whether a token is the session's.
func (s *Session) allows(token string) bool {
	return subtle.ConstantTimeCompare([]byte(token), []byte(s.Token)) == 1
}

// cookieName is the name of the cookie of a port: cookies are not told apart by it.
func cookieName(host string) string {
	if _, port, err := net.SplitHostPort(host); err == nil {
		return "bottled-" + port
	}
	return "bottled"
}

// cookieOf returns the cookie of a request; "" for none.
func cookieOf(r *http.Request) string {
	c, err := r.Cookie(cookieName(r.Host))
	if err != nil {
		return ""
	}
	return c.Value
}
