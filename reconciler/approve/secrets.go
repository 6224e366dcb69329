package approve

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/bot-bottle/bottled/manifests/contract"
	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/route"
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

// giveSecret writes the secret of a decision where its route finds it, before the decision is on file: the decision itself never holds it.
func (d *Desk) giveSecret(bottle string, out proposed, request reconciler.DecisionRequest) error {
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
	err := d.Around(WriteSecret, func() error { return d.writeSecret(bottle, out.secretFile, []byte(secret+"\n")) })
	if err != nil {
		return refuse("the secret can't be kept: %w", err)
	}
	return nil
}

// writeSecret replaces the content of a token's file. A file of the desk's own is made, if it is missing.
func (d *Desk) writeSecret(bottle, file string, secret []byte) error {
	if filepath.Dir(file) == d.Settings.SecretDir(bottle) {
		return owndir.Save(file, secret)
	}
	before, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist: make it, empty and readable for nobody else", file)
	}
	if err != nil {
		return err
	}
	agents, err := d.agents()
	if err != nil {
		return err
	}
	return edit.Write(file, before, secret, agents)
}
