package fake

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
)

// Hands do to containers, by name, what people and the kernel do past bottled. Each fails when there is nothing to do it to.
type Hands struct{ e *Engine }

// Hands returns the hands of other people.
func (e *Engine) Hands() Hands { return Hands{e} }

func (h Hands) to(name string, do func(c *container) error) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	defer h.e.broadcast()
	c, err := h.e.find(name)
	if err != nil {
		return err
	}
	return do(c)
}

func (h Hands) live(name string, do func(c *container)) error {
	return h.to(name, func(c *container) error {
		if !c.live() {
			return fmt.Errorf("container %s does not run", name)
		}
		do(c)
		return nil
	})
}

// Pause pauses a container that runs.
func (h Hands) Pause(name string) error {
	return h.live(name, func(c *container) {
		c.set(h.e.options.PauseShownAfter, func(r *run) { r.state = engine.StatePaused })
		h.e.emit(engine.EventPaused, c, "")
	})
}

// Kill ends a container, as docker kill does.
func (h Hands) Kill(name string) error {
	return h.live(name, func(c *container) {
		h.e.emit(engine.EventKillRequested, c, "")
		h.e.end(c, 137, false)
	})
}

// Crash ends a container as its own program does.
func (h Hands) Crash(name string, code int) error {
	return h.live(name, func(c *container) { h.e.end(c, code, false) })
}

// OOM ends a container as the kernel does.
func (h Hands) OOM(name string) error {
	return h.live(name, func(c *container) { h.e.end(c, 137, true) })
}

// Stop ends a container, as docker stop does with a program that does not handle SIGTERM.
func (h Hands) Stop(name string) error {
	return h.live(name, func(c *container) {
		h.e.emit(engine.EventKillRequested, c, "")
		h.e.end(c, 143, false)
		h.e.emit(engine.EventStopped, c, "")
	})
}

// Remove removes a container, as docker rm -f does.
func (h Hands) Remove(name string) error {
	return h.to(name, func(c *container) error {
		if c.live() {
			h.e.end(c, 137, false)
		}
		if h.e.containers[c.id] != nil {
			h.e.remove(c)
		}
		return nil
	})
}

// Rename renames a container.
func (h Hands) Rename(name, to string) error {
	return h.to(name, func(c *container) error {
		c.name = to
		h.e.emit(engine.EventRenamed, c, "")
		return nil
	})
}

// Update changes limits, as docker update does.
func (h Hands) Update(name string, l state.Limits) error {
	return h.to(name, func(c *container) error {
		c.spec.Limits = l
		h.e.emit(engine.EventUpdated, c, "")
		return nil
	})
}

// Connect attaches a container to a network, which is made when it is not there.
func (h Hands) Connect(name, networkName string, aliases ...string) error {
	h.e.mu.Lock()
	if h.e.network(networkName) == nil {
		subnet := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 30, byte(h.e.sequence % 256), 0}), 24) //nolint:gosec // below 256
		n := &network{id: h.e.id("a"), spec: state.Network{Name: networkName, Subnet: subnet}}
		h.e.networks[n.id] = n
	}
	h.e.mu.Unlock()
	return h.to(name, func(c *container) error {
		return h.e.connect(c.id, state.Attachment{Network: networkName, Aliases: aliases})
	})
}

// Disconnect detaches a container from a network.
func (h Hands) Disconnect(name, networkName string) error {
	return h.to(name, func(c *container) error { return h.e.disconnect(networkName, c.id) })
}

// Change changes what a container was made with, as another program that recreates it would.
func (h Hands) Change(name string, change func(*state.Container)) error {
	return h.to(name, func(c *container) error {
		change(&c.spec)
		return nil
	})
}

// Create makes a container past bottled, and starts it.
func (h Hands) Create(c state.Container) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	defer h.e.broadcast()
	id, err := h.e.create(c, false)
	if err != nil {
		return err
	}
	return h.e.start(id)
}

// RemoveNetwork removes a network, as docker network rm does.
func (h Hands) RemoveNetwork(name string) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	defer h.e.broadcast()
	n := h.e.network(name)
	if n == nil {
		return fmt.Errorf("network %s: %w", name, engine.ErrNotFound)
	}
	if len(h.e.members(n)) > 0 {
		return fmt.Errorf("network %s: %w", name, errActiveEndpoints)
	}
	delete(h.e.networks, n.id)
	h.e.emit(engine.EventRemoved, nil, name)
	return nil
}

// ChangeNetwork changes how a network is, as one that was made otherwise under the same name.
func (h Hands) ChangeNetwork(name string, change func(*state.Network)) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	n := h.e.network(name)
	if n == nil {
		return fmt.Errorf("network %s: %w", name, engine.ErrNotFound)
	}
	change(&n.spec)
	return nil
}

// RemoveImage takes a reference away.
func (h Hands) RemoveImage(ref string) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	delete(h.e.images, ref)
}

// ChangeFile changes, or with nil removes, a delivered file.
func (h Hands) ChangeFile(path, name string, content []byte) error {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	d := h.e.dirs[path]
	if d == nil {
		return fmt.Errorf("no directory %s was delivered", path)
	}
	d.files = cloneMap(d.files)
	if content == nil {
		delete(d.files, name)
		return nil
	}
	d.files[name] = state.ObservedFile{Content: state.NewContent(content), Mode: d.files[name].Mode, Modified: time.Now()}
	return nil
}

// File returns the content of a delivered file.
func (h Hands) File(path, name string) ([]byte, error) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	d := h.e.dirs[path]
	if d == nil {
		return nil, fmt.Errorf("no directory %s was delivered", path)
	}
	return d.files[name].Content.Reveal(), nil
}

// ReplaceDir replaces a delivered directory with a copy: running containers keep the old one.
func (h Hands) ReplaceDir(path string) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	if d := h.e.dirs[path]; d != nil {
		h.e.dirs[path] = &dir{files: cloneMap(d.files), spool: d.spool}
	}
}

// RemoveDir removes a delivered directory.
func (h Hands) RemoveDir(path string) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	delete(h.e.dirs, path)
}

// Log adds a line to a container's log.
func (h Hands) Log(name, text string) error {
	return h.to(name, func(c *container) error {
		c.log = append(c.log, logLine{at: time.Now(), text: text})
		return nil
	})
}

// Names lists the containers.
func (h Hands) Names() []string {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	var names []string
	for _, c := range h.e.containers {
		names = append(names, c.name)
	}
	slices.Sort(names)
	return names
}

// ID returns a container's ID, and whether it runs; "" when there is none.
func (h Hands) ID(name string) (id string, running bool) {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	c, err := h.e.find(name)
	if err != nil {
		return "", false
	}
	return c.id, c.run.state == engine.StateRunning
}

// NetworkNames lists the networks.
func (h Hands) NetworkNames() []string {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	var names []string
	for _, n := range h.e.networks {
		names = append(names, n.spec.Name)
	}
	return slices.Sorted(slices.Values(names))
}

// Dirs lists the delivered directories.
func (h Hands) Dirs() []string {
	h.e.mu.Lock()
	defer h.e.mu.Unlock()
	return slices.Sorted(maps.Keys(h.e.dirs))
}
