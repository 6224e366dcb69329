package ports

import (
	"context"
	"net"
	"strconv"
	"time"

	"golang.org/x/time/rate"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state/relay"
)

// messageInterval bounds what clients can make the controller log, per port.
const messageInterval = time.Minute

// listener is a port that is listened on.
type listener struct {
	port  v1alpha1.Port
	stop  context.CancelFunc
	ended chan struct{}
}

func (d *door) newListener(ctx context.Context, p v1alpha1.Port, socket net.Listener) *listener {
	ctx, stop := context.WithCancel(ctx)
	l := &listener{port: p, stop: stop, ended: make(chan struct{})}
	log := d.server.Log.With().Str("bottle", d.bottle).Str("address", p.Host).Int64("port", p.Container).Logger()
	allowed := rate.NewLimiter(rate.Every(messageInterval), 1)
	f := Forwarder{
		Socket: socket, Dial: d.bridge.dialer(p), Budget: d.server.Budget,
		Refused: func(err error) {
			if allowed.Allow() {
				log.Warn().Err(err).Msg("a client was turned away; see docs/troubleshooting.md")
			}
		},
	}
	log.Info().Msg("listening for the agent")
	go func() {
		defer close(l.ended)
		f.Run(ctx)
		log.Info().Msg("not listening any more")
	}()
	return l
}

// dialer connects to a port of the agent.
func (b *bridge) dialer(p v1alpha1.Port) func(ctx context.Context) (net.Conn, error) {
	target := net.JoinHostPort(contract.AgentName, strconv.FormatInt(p.Container, 10))
	return func(ctx context.Context) (net.Conn, error) {
		via := b.get()
		if via == nil {
			return nil, relay.ErrNoRelay
		}
		return via.Dial(ctx, target)
	}
}

// hasEnded reports whether the listener has failed.
func (l *listener) hasEnded() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// close ends the listener and all its connections.
func (l *listener) close() {
	l.stop()
	<-l.ended
}
