package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/bot-bottle/bottled/cmd/bottled/exit"
	"github.com/bot-bottle/bottled/cmd/bottled/report"
	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/reconciler/ports"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/component/ingress"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/engine/selfimage"
	"github.com/bot-bottle/bottled/state/relay"
	"github.com/bot-bottle/bottled/state/render"
	"github.com/bot-bottle/bottled/state/store"
)

// Forward is a port of the agent that is listened for on this host.
type Forward struct {
	Local  netip.AddrPort // port 0 is any free one
	Remote uint16
}

// PortForwardOptions are what is forwarded, and how that is reported.
type PortForwardOptions struct {
	Bottle   string
	Forwards []Forward
	// Listening is called once, with the local ports that were found.
	Listening func([]Forward) error
	// Refused is called for each client that is turned away, from several goroutines.
	Refused func(f Forward, why error)
}

// PortForward connects clients on this host with ports of a bottle's agent, until ctx ends. It needs no controller, and no port that the
// manifest declares: it makes a relay of its own in the bottle, which ends with it.
func (s *Service) PortForward(ctx context.Context, o PortForwardOptions) (err error) {
	image, err := s.builtinImage()
	if err != nil {
		return err
	}
	settings, err := s.Settings.StateSettings(image.Ref)
	if err != nil {
		return err
	}
	bottle, err := s.forwardable(ctx, settings, o.Bottle)
	if err != nil {
		return err
	}
	sockets, err := listenAll(ctx, o.Forwards)
	defer func() {
		for _, socket := range sockets {
			_ = socket.Close()
		}
	}()
	if err != nil {
		return err
	}
	e, err := s.connect(ctx, settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	c, dir := render.PortForward(bottle, settings)
	if c.Image == "" {
		return ingress.ErrNoImage
	}
	if err := prepareForward(ctx, e, settings, image, c, dir); err != nil {
		return err
	}
	release, err := store.LockSession(settings, c.Name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release(), removeDir(dir.Path)) }()
	way, err := relay.Listen(dir.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, way.Close()) }()
	_, err = host(ctx, e, c, &forwarding{ctx: ctx, o: o, sockets: sockets, way: way})
	return err
}

// forwardable returns the record of a bottle whose agent can be reached.
func (s *Service) forwardable(ctx context.Context, settings state.Settings, name string) (state.Bottle, error) {
	source, err := s.StatusSource()
	if err != nil {
		return state.Bottle{}, err
	}
	status, err := source.Get(ctx)
	if err != nil {
		return state.Bottle{}, err
	}
	found, err := status.Select([]string{name})
	switch {
	case err != nil:
		return state.Bottle{}, err
	case found[0].Reason == reconciler.ReasonSuspend:
		return state.Bottle{}, fmt.Errorf("it is suspended: bottled resume %s, or take suspend out of its manifest", name)
	case found[0].Cut:
		return state.Bottle{}, fmt.Errorf("it is cut off, and a page of its agent in a browser is a way out: bottled resume %s", name)
	case found[0].Agent() == nil:
		return state.Bottle{}, errors.New("it has no agent")
	}
	b, known, err := store.ReadRecord(settings, name)
	if err == nil && !known {
		err = notRecorded(settings, name)
	}
	return b, err
}

// listenAll listens on the local ports, and fails if it can't on one of them.
func listenAll(ctx context.Context, forwards []Forward) ([]net.Listener, error) {
	var sockets []net.Listener
	for _, f := range forwards {
		socket, err := ports.Listen(ctx, f.Local)
		if err != nil {
			return sockets, fmt.Errorf("listen on %s: %s; choose another port, as in LOCAL:%d", f.Local, ports.Reason(err), f.Remote)
		}
		sockets = append(sockets, socket)
	}
	return sockets, nil
}

// prepareForward gets what the relay's container needs: its image, and the directory of the socket.
func prepareForward(ctx context.Context, e Engine, s state.Settings, image *selfimage.Image, c state.Container, dir state.Dir) (err error) {
	if s.Shared, err = e.SharedPaths(ctx); err != nil {
		return err
	}
	if err := s.CheckShared(dir.Path); err != nil {
		return err
	}
	if err := sweepForwards(s, c.Labels[state.LabelSlug]); err != nil {
		return err
	}
	have, err := e.Images(ctx, []string{c.Image})
	if err != nil {
		return err
	}
	if have[c.Image] == "" && c.Image == image.Ref {
		err = image.Load(ctx, e)
	}
	return errors.Join(err, e.WriteFiles(ctx, dir))
}

// sweepForwards removes the directories of a bottle's port-forwards whose process was killed.
func sweepForwards(s state.Settings, bottle string) error {
	const any = "*"
	found, err := filepath.Glob(s.PortForwardDir(bottle, any))
	if err != nil {
		return err
	}
	before := strings.TrimSuffix(s.PortForwardDir(bottle, any), any)
	for _, path := range found {
		container := state.ContainerName(s.Prefix, state.PortForward, bottle) + "-" + strings.TrimPrefix(path, before)
		if !store.SessionLocked(s, container) {
			err = errors.Join(err, removeDir(path))
		}
	}
	return err
}

// removeDir removes a socket's directory.
func removeDir(path string) error {
	err := errors.Join(ignoreMissing(os.Remove(filepath.Join(path, relay.SocketName))), ignoreMissing(os.Remove(path)))
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// forwarding is the user's side of the relay's container.
type forwarding struct {
	ctx     context.Context //nolint:containedctx // Converse gets one that does not end with a signal
	o       PortForwardOptions
	sockets []net.Listener
	way     *relay.Host
}

// Stdin keeps the relay running: it ends with its stdin, also when this process is killed.
func (f *forwarding) Stdin() bool { return true }

// Terminal is none.
func (f *forwarding) Terminal() *engine.Terminal { return nil }

// Converse forwards until the command is interrupted, or the relay ends.
func (f *forwarding) Converse(_ context.Context, p engine.Process) (int, error) {
	ctx, stop := context.WithCancel(f.ctx)
	defer stop()
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	budget, listening := ports.NewBudget(maxConnections()), make([]Forward, len(f.sockets))
	for i, socket := range f.sockets {
		listening[i] = f.o.Forwards[i]
		if tcp, ok := socket.Addr().(*net.TCPAddr); ok {
			listening[i].Local = netip.AddrPortFrom(listening[i].Local.Addr(), tcp.AddrPort().Port())
		}
		target := net.JoinHostPort(contract.AgentName, strconv.Itoa(int(listening[i].Remote)))
		forwarder := ports.Forwarder{
			Socket: socket, Budget: budget,
			Dial:    func(ctx context.Context) (net.Conn, error) { return f.way.Dial(ctx, target) },
			Refused: func(why error) { f.o.Refused(listening[i], why) },
		}
		all.Go(func() { forwarder.Run(ctx) })
	}
	if err := f.o.Listening(listening); err != nil {
		return 0, err
	}
	var said lastBytes
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		_ = p.Receive(io.Discard, &said) // what it said does not matter as much as its end
	}()
	code, err := p.Wait(ctx)
	if ctx.Err() != nil {
		return 0, nil //nolint:nilerr // the user has ended it
	}
	if err != nil {
		return 0, err
	}
	if <-heard; code == exit.SignalledFrom+int(syscall.SIGKILL) || len(said) == 0 {
		return 0, fmt.Errorf("its relay was removed: was the bottle suspended, cut off or removed? See bottled events %s", f.o.Bottle)
	}
	return 0, fmt.Errorf("its relay ended with exit code %d: %s", code, report.Flat(string(said)))
}

// lastBytes keeps the end of what is written.
type lastBytes []byte

func (l *lastBytes) Write(p []byte) (int, error) {
	const most = 512
	*l = append(*l, p...)
	*l = (*l)[max(0, len(*l)-most):]
	return len(p), nil
}
