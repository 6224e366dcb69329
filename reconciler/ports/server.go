package ports

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/rs/zerolog"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/relay"
)

// Bridge is the way into one bottle.
type Bridge interface {
	// Dial connects to a target in the bottle.
	Dial(ctx context.Context, target string) (net.Conn, error)
	// IsBound is false when the ingress can't find this end any more.
	IsBound() bool
	Close() error
}

// Server listens on the ports of bottles. All fields but OnChange are required.
type Server struct {
	Listen func(ctx context.Context, address netip.AddrPort) (net.Listener, error)
	// Open opens the way into a bottle by the directory of its ingress' socket.
	Open   func(dir string) (Bridge, error)
	Budget *Budget // of all bottles
	Log    zerolog.Logger
	// OnChange is called, on a goroutine of its own, after the State of a bottle has changed.
	OnChange func(bottle string)

	mu      sync.Mutex
	wanted  map[string]declared
	due     map[string]bool // bottles that are to be looked at
	states  map[string][]reconciler.PortStatus
	changed chan struct{}
}

// declared are the ports that a bottle is to have.
type declared struct {
	dir   string
	ports []v1alpha1.Port
}

// Listen is the Listen of a Server on the host's own network.
func Listen(ctx context.Context, address netip.AddrPort) (net.Listener, error) {
	network := "tcp6" // not tcp: [::] is no IPv4 address
	if address.Addr().Is4() {
		network = "tcp4"
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // other addresses can join such a connection later
	return config.Listen(ctx, network, address.String())
}

// Open is the Open of a Server on the host's own file system.
func Open(dir string) (Bridge, error) {
	host, err := relay.Listen(dir)
	if err != nil {
		return nil, err // not a *relay.Host that is nil
	}
	return host, nil
}

// Set declares the ports of a bottle, and the directory of its ingress' socket. Run brings them about. Without ports the bottle is
// forgotten.
func (s *Server) Set(bottle, dir string, all []v1alpha1.Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.init()
	if _, known := s.wanted[bottle]; !known && len(all) == 0 {
		return
	}
	s.wanted[bottle], s.due[bottle] = declared{dir, slices.Clone(all)}, true
	s.wake()
}

// State returns the ports of a bottle as they are.
func (s *Server) State(bottle string) []reconciler.PortStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.states[bottle])
}

func (s *Server) init() {
	if s.wanted == nil {
		s.wanted, s.due, s.states = map[string]declared{}, map[string]bool{}, map[string][]reconciler.PortStatus{}
		s.changed = make(chan struct{}, 1)
	}
}

func (s *Server) wake() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run listens until ctx ends. Then it closes everything.
func (s *Server) Run(ctx context.Context) {
	s.mu.Lock()
	s.init()
	s.mu.Unlock()
	doors := map[string]*door{}
	for {
		select {
		case <-ctx.Done():
			for _, d := range doors {
				d.close()
			}
			return
		case <-s.changed:
		}
		due := s.takeDue()
		for bottle, want := range due {
			if doors[bottle] == nil {
				doors[bottle] = &door{server: s, bottle: bottle, listeners: map[netip.AddrPort]*listener{}}
			}
			doors[bottle].closeOthers(want.ports) // first of all: a bottle may get the port that another one had
		}
		for bottle, want := range due {
			s.publish(bottle, doors[bottle].apply(ctx, want))
			if len(want.ports) == 0 {
				delete(doors, bottle)
			}
		}
	}
}

// takeDue returns what is declared of the bottles that are due.
func (s *Server) takeDue() map[string]declared {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := map[string]declared{}
	for bottle := range s.due {
		due[bottle] = s.wanted[bottle]
		if len(s.wanted[bottle].ports) == 0 {
			delete(s.wanted, bottle)
		}
	}
	clear(s.due)
	return due
}

// retry has a bottle looked at again, unless it has no ports any more.
func (s *Server) retry(bottle string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.wanted[bottle]; known {
		s.due[bottle] = true
		s.wake()
	}
}

// publish makes the state of a bottle known.
func (s *Server) publish(bottle string, state []reconciler.PortStatus) {
	s.mu.Lock()
	same := slices.Equal(s.states[bottle], state)
	if s.states[bottle] = state; len(state) == 0 {
		delete(s.states, bottle)
	}
	s.mu.Unlock()
	if !same && s.OnChange != nil {
		go s.OnChange(bottle)
	}
}
