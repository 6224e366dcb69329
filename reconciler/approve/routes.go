package approve

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/bot-bottle/bottled/manifests/edit"
	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// routesWish makes the routes of a cred-proxy-block those of the manifest. Routes that stay as they are keep their bytes.
func routesWish(p queue.Proposal, b v1alpha1.Bottle) (wish, error) {
	w := wish{file: b.Source.Path}
	asked, err := route.Parse([]byte(p.Payload))
	if err != nil {
		return w, blockedBy("%w", err)
	}
	present, tokens, err := presentRoutes(b)
	if err != nil {
		return w, blockedBy("%w", err)
	}
	var added []route.Route
	kept := map[string]bool{}
	for _, r := range asked {
		token, known := tokens[r.TokenSlot]
		if !known {
			return w, blockedBy("the proposed route %s has the token slot %q, which no route of the bottle has", r.Path, r.TokenSlot)
		}
		r.Token = token
		i := slices.IndexFunc(present, func(other route.Route) bool { return other.Path == r.Path })
		if i < 0 {
			added = append(added, r)
			continue
		}
		kept[r.Path] = true
		changes, err := routeChanges(fmt.Sprintf("%s[%d]", v1alpha1.RoutesField, i), present[i], r, filepath.Dir(b.Source.Path))
		if err != nil {
			return w, blockedBy("%w", err)
		}
		w.changes = append(w.changes, changes...)
	}
	for i := len(present) - 1; i >= 0; i-- { // from the end, so that no removal moves another one's index
		if !kept[present[i].Path] {
			w.changes = append(w.changes, edit.Remove(fmt.Sprintf("%s[%d]", v1alpha1.RoutesField, i)))
		}
	}
	for _, r := range added {
		w.changes = append(w.changes, edit.Append(v1alpha1.RoutesField, manifestRoute(r, filepath.Dir(b.Source.Path))))
	}
	if len(w.changes) == 0 {
		w.warnings = append(w.warnings, "the routes are so already: nothing has to be changed")
	}
	return w, nil
}

func routesOf(b v1alpha1.Bottle) []route.Route {
	if b.Spec.CredProxy == nil {
		return nil
	}
	return b.Spec.CredProxy.Routes
}

// presentRoutes returns the routes of a manifest in its order, in the form in which route.Parse returns proposed ones, and their tokens by
// slot.
func presentRoutes(b v1alpha1.Bottle) ([]route.Route, map[string]route.SecretRef, error) {
	tokens := map[string]route.SecretRef{}
	var all []route.Route
	for _, r := range routesOf(b) {
		r.TokenSlot = state.TokenSlot(r.Token)
		tokens[r.TokenSlot] = r.Token
		data, err := route.Render([]route.Route{r})
		if err != nil {
			return nil, nil, err
		}
		same, err := route.Parse(data)
		if err != nil {
			return nil, nil, err
		}
		same[0].Token = r.Token
		all = append(all, same[0])
	}
	return all, tokens, nil
}

// routeChanges are the changes of the fields in which two routes of one path differ.
func routeChanges(field string, before, after route.Route, dir string) ([]edit.Change, error) {
	if reflect.DeepEqual(before, after) {
		return nil, nil
	}
	have, err := fieldsOf(manifestRoute(before, dir))
	if err != nil {
		return nil, err
	}
	want, err := fieldsOf(manifestRoute(after, dir))
	if err != nil {
		return nil, err
	}
	var changes []edit.Change
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if _, stays := want[key]; !stays {
			changes = append(changes, edit.Remove(field+"."+key))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !reflect.DeepEqual(have[key], want[key]) {
			changes = append(changes, edit.Set(field+"."+key, want[key]))
		}
	}
	return changes, nil
}

// fieldsOf returns a route as a mapping.
func fieldsOf(r route.Route) (fields map[string]any, err error) {
	data, err := json.Marshal(r)
	return fields, errors.Join(err, json.Unmarshal(data, &fields))
}

// manifestRoute is a route as people write it into a manifest in a directory: without defaults, and with a relative path where the token's
// file is below the manifest.
func manifestRoute(r route.Route, dir string) route.Route {
	if r.AuthScheme == route.DefaultAuthScheme {
		r.AuthScheme = ""
	}
	if rel, err := filepath.Rel(dir, r.Token.File); r.Token.File != "" && err == nil && filepath.IsLocal(rel) {
		r.Token.File = rel
	}
	return r
}

// newUpstreams are the upstreams to which a token would go that does not go there now. Whoever answers there gets the token.
func newUpstreams(before, after v1alpha1.Bottle) []string {
	known, tokens := map[string]bool{}, map[string]bool{}
	each := func(b v1alpha1.Bottle, do func(slot, origin string)) {
		for _, r := range routesOf(b) {
			do(state.TokenSlot(r.Token), originOf(r.Upstream))
		}
	}
	each(before, func(slot, origin string) { known[slot+" "+origin], tokens[slot] = true, true })
	var found []string
	each(after, func(slot, origin string) {
		if tokens[slot] && !known[slot+" "+origin] {
			known[slot+" "+origin] = true
			found = append(found, fmt.Sprintf("the token %s would be sent to %s, which does not get it now", slot, origin))
		}
	})
	return found
}

// originOf is the scheme, host and port of an upstream.
func originOf(upstream string) string {
	u, err := url.Parse(upstream)
	if err != nil {
		return upstream
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}
