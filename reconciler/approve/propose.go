package approve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/source"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
	"github.com/bot-bottle/bottled/state/render"
)

// maxFile limits a file that an approval changes, in bytes: what a manifest may have.
const maxFile = 1 << 20

// errBlocked marks an approval that bottled can't write. The message says why, and what a person can do.
var errBlocked = errors.New("the change has to be made by hand")

func blockedBy(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errBlocked, fmt.Errorf(format, args...))
}

// proposed is what an approval would change.
type proposed struct {
	// change has the same content before and after where nothing has to be changed, or where that is blocked.
	change change
	// before and after are the bottle as declared without and with the change.
	before, after declared
	// secretFile is where the secret of a secret-request goes; "" for other proposals.
	secretFile        string
	warnings, dangers []string
	notes             string // what the agent is told of an approval beside a person's notes
	// blocked is why the change can't be written; nil where it can.
	blocked error
}

// declared is a bottle as a content of a file declares it.
type declared struct {
	bottle   v1alpha1.Bottle
	specHash string
	snapshot source.Snapshot
}

// wish is what the approval of a proposal comes to, by its tool.
type wish struct {
	file    string        // also of a wish that can't be had
	changes []edit.Change // of the manifest; or
	content *string       // the whole content of another file
	// The same as in proposed.
	secretFile, notes string
	warnings          []string
}

// propose returns what the approval of a proposal would change. until limits an approved host in time; the zero time does not. edited, if not
// nil, is what the file is to have instead. The error is for an edited file that is not valid; see proposed.blocked for everything else.
func (d *Desk) propose(p queue.Proposal, bottle string, until time.Time, edited *string) (out proposed, err error) {
	decl, ok := d.bottles.Declaration(bottle)
	if !ok {
		out.blocked = blockedBy("bottle %s has no valid manifest at present; repair it first", bottle)
		return out, nil
	}
	manifest := decl.Bottle.Source.Path
	content, err := d.content(manifest)
	if err == nil {
		out.before, err = d.declared(bottle, manifest, content)
	}
	if err != nil {
		out.blocked = blockedBy("%w", err)
		return out, nil
	}
	w, err := d.wishOf(p, out.before.bottle, until)
	if out.blocked = err; w.file == "" {
		return out, nil
	}
	if w.file != manifest {
		if content, err = d.content(w.file); err != nil {
			out.blocked = blockedBy("%w", err)
			return out, nil
		}
	}
	out.secretFile, out.notes, out.warnings = w.secretFile, w.notes, w.warnings
	out.change = change{File: w.file, Before: content, After: content, SpecHash: out.before.specHash}
	out.after = out.before
	switch {
	case edited != nil:
		out.change.After, out.blocked = []byte(*edited), nil
	case err != nil:
		return out, nil
	default:
		if out.change.After, err = w.apply(bottle, content); err != nil {
			out.change.After, out.blocked = content, blockedBy("%w", err)
			return out, nil
		}
	}
	if w.file == manifest && out.changes() {
		if out.after, err = d.declared(bottle, manifest, out.change.After); err != nil {
			return out, err
		}
	}
	out.dangers = newUpstreams(out.before.bottle, out.after.bottle)
	out.blocked = d.editable(bottle, out)
	return out, nil
}

// editable returns why the files of an approval can't be written.
func (d *Desk) editable(bottle string, out proposed) error {
	agents, err := d.agents()
	if err == nil && out.changes() {
		err = d.Manifests.Editable(out.change.File, agents)
	}
	if err != nil || out.secretFile == "" || d.isOwn(bottle, out.secretFile) {
		return err
	}
	if err = edit.Check(out.secretFile, agents); errors.Is(err, edit.ErrChanged) {
		return fmt.Errorf("%s does not exist: make it, empty and readable for nobody else", out.secretFile)
	}
	return err
}

// changes reports whether the file gets another content.
func (p proposed) changes() bool { return !bytes.Equal(p.change.Before, p.change.After) }

// apply returns the content of the file with what is wished.
func (w wish) apply(bottle string, before []byte) ([]byte, error) {
	switch {
	case w.content != nil:
		return []byte(*w.content), nil
	case len(w.changes) == 0:
		return before, nil
	}
	return edit.Apply(w.file, before, bottle, w.changes...)
}

// declared returns the bottle as it is declared when its manifest has a content.
func (d *Desk) declared(bottle, manifest string, content []byte) (declared, error) {
	s, err := d.Manifests.ReadWith(manifest, content)
	if err != nil {
		return declared{}, err
	}
	for _, b := range s.Bottles {
		if b.Metadata.Name == bottle {
			return declared{b, render.SpecHash(b), s}, nil
		}
	}
	var problems []string
	for _, p := range s.Problems {
		if p.Slug == bottle {
			problems = append(problems, p.Error())
		}
	}
	if len(problems) == 0 {
		return declared{}, fmt.Errorf("%s does not declare bottle %s", manifest, bottle)
	}
	return declared{}, errors.New(strings.Join(problems, "\n"))
}

// content returns what a file will have when the decisions under way are carried out.
func (d *Desk) content(file string) ([]byte, error) {
	d.mu.Lock()
	var last *change
	for _, x := range d.underWay {
		if x.Change != nil && x.Change.File == file && x.Phase == phaseApply {
			last = x.Change
		}
	}
	d.mu.Unlock()
	if last != nil {
		return last.After, nil
	}
	return d.read(file)
}

// read returns what a file has, unless an agent may have written it.
func (d *Desk) read(file string) ([]byte, error) {
	agents, err := d.agents()
	if err != nil {
		return nil, err
	}
	return agents.ReadFile(file, maxFile)
}

// agents returns what agents can write, where the desk reads and writes nothing.
func (d *Desk) agents() (safepath.Set, error) {
	agents, known := d.bottles.Writable()
	if !known {
		return agents, fmt.Errorf("%w: the manifests were not read yet", errLater)
	}
	return agents, nil
}

// digest identifies a change: the file, what it has and what it gets.
func (c change) digest() string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(c.File), c.Before, c.After} {
		fmt.Fprintf(h, "%d:", len(part))
		h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// diff returns the change as people see it.
func (c change) diff() string { return edit.Diff(c.File, c.Before, c.After) }

// wishOf returns what the approval of a proposal comes to.
func (d *Desk) wishOf(p queue.Proposal, b v1alpha1.Bottle, until time.Time) (wish, error) {
	switch p.Tool {
	case queue.PipelockBlock:
		_, builtin := d.Settings.Image(state.Pipelock)
		return hostWish(p, b, until, builtin)
	case queue.CredProxyBlock:
		return routesWish(p, b)
	case queue.CapabilityBlock:
		return dockerfileWish(p, b)
	case queue.SecretRequest:
		return d.secretWish(p, b)
	}
	return wish{}, blockedBy("this version of bottled does not know the tool %q", p.Tool)
}
