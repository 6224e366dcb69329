package e2e

import (
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// recorder keeps the datagrams that a service of the host got.
type recorder struct {
	mu  sync.Mutex
	got []string
}

func record(c net.PacketConn) *recorder {
	r := &recorder{}
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, _, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.got = append(r.got, string(buffer[:n]))
			r.mu.Unlock()
		}
	}()
	return r
}

// with are those that contain a text.
func (r *recorder) with(text string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, d := range r.got {
		if strings.Contains(d, text) {
			found = append(found, d)
		}
	}
	return found
}

// nameServer answers for demo.example and keeps what it was asked.
type nameServer struct {
	recorder
	answers map[string][]netip.Addr // one after the other, the last again and again
}

func serveNames(c net.PacketConn) *nameServer {
	s := &nameServer{answers: map[string][]netip.Addr{
		"api.demo.example.": {netip.MustParseAddr(apiAddress)},
		"free.test.":        {netip.MustParseAddr(internetAddress)},
	}}
	go func() {
		buffer := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer := s.answer(buffer[:n]); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		}
	}()
	return s
}

// resolve sets what a name stands for from now on.
func (s *nameServer) resolve(name string, addresses ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name+"."] = nil
	for _, a := range addresses {
		s.answers[name+"."] = append(s.answers[name+"."], netip.MustParseAddr(a))
	}
}

func (s *nameServer) answer(query []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.ToLower(q.Name.String())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, name)
	m.Header = dnsmessage.Header{ID: m.ID, Response: true, RecursionDesired: true, RecursionAvailable: true}
	m.Additionals = nil
	known := s.answers[name]
	switch {
	case len(known) == 0:
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
			Body:   &dnsmessage.AResource{A: known[0].As4()},
		}}
		if len(known) > 1 {
			s.answers[name] = known[1:]
		}
	}
	packed, err := m.Pack()
	if err != nil {
		return nil
	}
	return packed
}
