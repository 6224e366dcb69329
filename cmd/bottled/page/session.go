package page

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"slices"
	"strings"
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

// cookieName is the same for all sessions: each has a host of its own.
const cookieName = "bottled"

// hash is what is kept of a secret and the host where alone it is valid.
type hash [sha256.Size]byte

func hashOf(host, secret string) hash { return sha256.Sum256([]byte(host + "/" + secret)) }

// newHost returns the host of a link and its session: a name that leads to this machine (RFC 6761) and that nobody can guess. Cookies ignore
// ports: under a name that is known, any program that listens on this machine could have a browser bring it the cookie.
func newHost() string { return "bottled-" + strings.ToLower(rand.Text()) + ".localhost" }

// hostOf returns the host that a request is for, without the port.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	return strings.ToLower(host)
}

// isPageHost reports whether a host has the form of the page's.
func isPageHost(host string) bool {
	name, below := strings.CutSuffix(host, ".localhost")
	return below && strings.HasPrefix(name, "bottled-") && !strings.Contains(name, ".")
}

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

// link makes a link's host and secret, which open one session.
func (s *sessions) link(user string, readOnly bool) (host, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		s.links, s.open = map[hash]link{}, map[hash]*Session{}
	}
	s.drop()
	if len(s.links) >= maxLinks {
		delete(s.links, oldest(s.links, func(l link) time.Time { return l.made }))
	}
	host, secret = newHost(), rand.Text()+rand.Text()
	s.links[hashOf(host, secret)] = link{user, readOnly, time.Now()}
	return host, secret
}

// redeem opens a session for a link, once, and returns the secret of its cookie. Whatever cookie the browser had does not count.
func (s *sessions) redeem(host, secret string) (cookie string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	l, ok := s.links[hashOf(host, secret)]
	if !ok {
		return "", false
	}
	delete(s.links, hashOf(host, secret))
	if len(s.open) >= maxSessions {
		delete(s.open, oldest(s.open, func(o *Session) time.Time { return o.used }))
	}
	cookie = rand.Text() + rand.Text()
	now := time.Now()
	s.open[hashOf(host, cookie)] = &Session{User: l.user, ReadOnly: l.readOnly, Token: rand.Text() + rand.Text(), made: now, used: now}
	return cookie, true
}

// find returns the session of a request; nil when there is none.
func (s *sessions) find(r *http.Request) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop()
	found := s.open[sessionHash(r)]
	if found == nil {
		return nil
	}
	found.used = time.Now()
	copied := *found
	return &copied
}

// end ends the session of a request.
func (s *sessions) end(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, sessionHash(r))
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

// sessionHash is the hash of the cookie that a request has; of none, there is no session.
func sessionHash(r *http.Request) hash {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return hash{}
	}
	return hashOf(hostOf(r), c.Value)
}
