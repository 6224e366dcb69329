package ports

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
)

// The backoff after a port could not be listened on.
const (
	minRetry = 250 * time.Millisecond
	maxRetry = 15 * time.Second
)

// door is the ports of one bottle. Only Run's goroutine uses it.
type door struct {
	server    *Server
	bottle    string
	dir       string
	bridge    *bridge
	listeners map[netip.AddrPort]*listener
	retryIn   time.Duration
	timer     *time.Timer
}

// bridge lets the door replace the way into the bottle under its listeners.
type bridge struct {
	mu  sync.Mutex
	via Bridge
}

func (b *bridge) get() Bridge {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.via
}

func (b *bridge) set(via Bridge) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.via = via
}

// closeOthers closes the listeners of ports that are not declared.
func (d *door) closeOthers(declared []v1alpha1.Port) {
	for a, l := range d.listeners {
		if !slices.Contains(declared, l.port) {
			l.close()
			delete(d.listeners, a)
		}
	}
}

// apply makes the listeners those that are declared, and returns how they are.
func (d *door) apply(ctx context.Context, want declared) []reconciler.PortStatus {
	if d.timer != nil {
		d.timer.Stop()
	}
	if len(want.ports) == 0 {
		d.close()
		return nil
	}
	bridged := d.openBridge(want.dir)
	var all []reconciler.PortStatus
	failed := bridged != nil
	for _, p := range want.ports {
		err := bridged
		if err == nil {
			err = d.listen(ctx, p)
		}
		status := reconciler.PortStatus{Container: p.Container, Host: p.Host, Listening: err == nil}
		if err != nil {
			failed, status.Error = true, Reason(err)
		}
		all = append(all, status)
	}
	d.schedule(failed)
	return all
}

// schedule has the door looked at again after a failure, with backoff.
func (d *door) schedule(failed bool) {
	if !failed {
		d.retryIn = 0
		return
	}
	d.retryIn = min(max(2*d.retryIn, minRetry), maxRetry)
	d.timer = time.AfterFunc(reconciler.Jitter(d.retryIn), func() { d.server.retry(d.bottle) })
}

// openBridge opens the way into the bottle, unless it is open.
func (d *door) openBridge(dir string) error {
	if d.bridge == nil {
		d.bridge = &bridge{}
	}
	if via := d.bridge.get(); via != nil {
		if d.dir == dir && via.IsBound() {
			return nil
		}
		d.bridge.set(nil)
		d.closeBridge(via)
	}
	via, err := d.server.Open(dir)
	if err != nil {
		return err
	}
	d.dir = dir
	d.bridge.set(via)
	return nil
}

func (d *door) closeBridge(via Bridge) {
	if err := via.Close(); err != nil {
		d.server.Log.Warn().Str("bottle", d.bottle).Err(err).Msg("can't remove the socket of its ingress")
	}
}

// listen listens on a port, unless it does.
func (d *door) listen(ctx context.Context, p v1alpha1.Port) error {
	address, err := p.Address()
	if err != nil {
		return err
	}
	if l := d.listeners[address]; l != nil && !l.hasEnded() {
		return nil
	}
	delete(d.listeners, address)
	socket, err := d.server.Listen(ctx, address)
	if err != nil {
		return err
	}
	d.listeners[address] = d.newListener(ctx, p, socket)
	return nil
}

func (d *door) close() {
	if d.timer != nil {
		d.timer.Stop()
	}
	for a, l := range d.listeners {
		l.close()
		delete(d.listeners, a)
	}
	if d.bridge == nil {
		return
	}
	if via := d.bridge.get(); via != nil {
		d.bridge.set(nil)
		d.closeBridge(via)
	}
}

// Reason says why a port is not listened on, without the system call.
func Reason(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		err = op.Err
	}
	var system interface{ Unwrap() error }
	if errors.As(err, &system) && system.Unwrap() != nil {
		err = system.Unwrap()
	}
	return err.Error()
}
