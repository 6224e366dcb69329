package approve

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/safepath"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
	"github.com/bot-bottle/bottled/state/queue"
	"github.com/bot-bottle/bottled/state/resolve"
)

// secretName matches the names of new secrets, which become names of files.
var secretName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// secretWish gives the bottle a route with a secret of its own, or a new secret to a route that has one in a file.
func (d *Desk) secretWish(p queue.Proposal, b v1alpha1.Bottle) (wish, error) {
	w := wish{file: b.Source.Path}
	r, err := queue.ParseSecret(p.Payload)
	if err != nil {
		return w, blockedBy("%w", err)
	}
	own := filepath.Join(d.Settings.SecretDir(b.Metadata.Name), r.Name)
	for _, declared := range routesOf(b) {
		slot, file := state.TokenSlot(declared.Token), declared.Token.File
		switch {
		case slot != r.Name && file != own:
			continue
		case file == "":
			return w, blockedBy("the token %s is no file: give it where the manifest says", slot)
		case originOf(declared.Upstream) != originOf(r.Upstream):
			w.warnings = append(w.warnings, fmt.Sprintf("the agent asks for %s, and the secret goes to %s, as the manifest says", shorten(r.Upstream), declared.Upstream))
		}
		w.secretFile, w.notes = file, usableAt(declared.Path)
		return w, nil
	}
	if !secretName.MatchString(r.Name) {
		return w, blockedBy("the name %q of the secret is not letters, digits, dashes and underscores", r.Name)
	}
	w.secretFile, w.notes = own, usableAt(r.RoutePath())
	w.changes = []edit.Change{edit.Append(v1alpha1.RoutesField, route.Route{Path: r.RoutePath(), Upstream: r.Upstream, Token: route.SecretRef{File: own}})}
	return w, nil
}

// usableAt tells the agent where cred-proxy adds a secret to its requests.
func usableAt(path string) string {
	return "Requests to " + contract.CredProxy.URL() + path + " get the secret."
}

// giveSecret keeps the secret of a decision until it is carried out.
func (d *Desk) giveSecret(x *decision, out proposed, request reconciler.DecisionRequest) error {
	switch {
	case out.secretFile == "" && request.Secret != "":
		return refuse("this proposal asks for no secret")
	case out.secretFile == "":
		return nil
	}
	secret := strings.TrimRight(request.Secret, "\r\n")
	if err := resolve.CheckToken(secret); err != nil {
		return refuse("the secret %w", err)
	}
	x.SecretFile = out.secretFile
	if err := d.keepSecret(x, givenSecret{After: []byte(secret + "\n")}); err != nil {
		return refuse("the secret can't be kept: %w", err)
	}
	return nil
}

// writeSecret makes sure that the file of a token has the secret of a decision, unless it had it once: what is there then is newer. What the
// file had before is on file first.
func (d *Desk) writeSecret(x *decision) error {
	if x.SecretFile == "" || x.Written {
		return nil
	}
	s, err := d.journal.readSecret(x.Proposal.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: the secret that was given is gone; give it again", errVoid)
	}
	if err != nil {
		return err
	}
	now, err := d.readSecret(x.Bottle, x.SecretFile)
	if err != nil || bytes.Equal(now, s.After) {
		return err
	}
	if !s.Known || !bytes.Equal(now, s.Before) {
		s.Known, s.Before = true, now
		if err := d.keepSecret(x, s); err != nil {
			return fmt.Errorf("%w: %w", errLater, err)
		}
	}
	err = d.replaceSecret(x, now, s.After)
	if err == nil || errors.Is(err, edit.ErrChanged) {
		return err
	}
	if has, readErr := d.readSecret(x.Bottle, x.SecretFile); readErr == nil && bytes.Equal(has, now) {
		return fmt.Errorf("%w: %w", errUnwritten, err)
	}
	return err
}

// restoreSecret has the file of a token be as it was before a decision. It stays as it is (false) where somebody has changed it since, and
// where the manifest, which somebody has changed then, names a file that the decision has made.
func (d *Desk) restoreSecret(x *decision) (restored bool, err error) {
	if x.SecretFile == "" {
		return false, nil
	}
	s, err := d.journal.readSecret(x.Proposal.ID)
	if errors.Is(err, fs.ErrNotExist) { // an earlier process has restored it
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now, err := d.readSecret(x.Bottle, x.SecretFile)
	var foreign *safepath.Error
	switch {
	case errors.As(err, &foreign): // an agent can write there, so that nothing of it counts
		return false, nil
	case err != nil:
		return false, err
	case !s.Known, bytes.Equal(now, s.Before):
		return true, nil
	case !bytes.Equal(now, s.After):
		return false, nil
	}
	if s.Before == nil {
		if used, err := d.isSecretUsed(x); used || err != nil {
			return false, err
		}
	}
	return true, d.replaceSecret(x, now, s.Before)
}

// isSecretUsed reports whether the manifest declares a route with the new secret of a decision, although that was taken back, or can't be
// read, so that nobody knows.
func (d *Desk) isSecretUsed(x *decision) (bool, error) {
	if x.Change == nil {
		return false, nil // the route was there before
	}
	content, err := d.read(x.Change.File)
	var foreign *safepath.Error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &foreign):
		return true, nil
	case err != nil:
		return false, err
	}
	now, err := d.declared(x.Bottle, x.Change.File, content)
	if err != nil {
		return true, nil //nolint:nilerr // somebody is at work on it
	}
	return slices.ContainsFunc(routesOf(now.bottle), func(r route.Route) bool { return r.Token.File == x.SecretFile }), nil
}

// readSecret returns the content of a token's file; nil where there is none.
func (d *Desk) readSecret(bottle, file string) ([]byte, error) {
	read := d.read
	if d.isOwn(bottle, file) {
		read = owndir.ReadFile
	}
	content, err := read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// replaceSecret replaces the content of a token's file. A file of the desk's own is made if it is missing, and removed where after is nil.
func (d *Desk) replaceSecret(x *decision, before, after []byte) error {
	return d.Around(WriteSecret, func() error {
		switch own := d.isOwn(x.Bottle, x.SecretFile); {
		case own && after == nil:
			return removeFile(x.SecretFile)
		case own:
			return owndir.Save(x.SecretFile, after)
		}
		agents, err := d.agents()
		if err != nil {
			return err
		}
		return edit.Write(x.SecretFile, before, after, agents)
	})
}

// isOwn reports whether the file of a token is one that the desk makes.
func (d *Desk) isOwn(bottle, file string) bool {
	return filepath.Dir(file) == d.Settings.SecretDir(bottle)
}

// keepSecret puts the secret of a decision on file.
func (d *Desk) keepSecret(x *decision, s givenSecret) error {
	return d.Around(KeepSecret, func() error { return d.journal.saveSecret(x.Proposal.ID, s) })
}

// removeSecret forgets the secret of a decision, and what its file had before.
func (d *Desk) removeSecret(x *decision) error {
	if x.SecretFile == "" {
		return nil
	}
	return d.Around(RemoveSecret, func() error { return d.journal.removeSecret(x.Proposal.ID) })
}
