package manifests

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

// legacyBottle is the front matter of a claude-bottle file. Its fields are found by their json tags, like those of a manifest.
type legacyBottle struct {
	Env       map[string]string `json:"env,omitempty"`
	CredProxy *legacyCredProxy  `json:"cred_proxy,omitempty"`
	Egress    legacyEgress      `json:"egress,omitempty"`
	Supervise bool              `json:"supervise,omitempty"`
}

type legacyCredProxy struct {
	Routes []legacyRoute `json:"routes"`
}

type legacyRoute struct {
	Path       string    `json:"path"` // the slashes around it may be missing
	Upstream   string    `json:"upstream"`
	AuthScheme string    `json:"auth_scheme,omitempty"`
	TokenRef   string    `json:"token_ref"` // the name of an environment variable
	Role       oneOrMore `json:"role,omitempty"`
}

// oneOrMore may be a single text instead of a list.
type oneOrMore []Role

type legacyEgress struct {
	Allowlist []string  `json:"allowlist,omitempty"`
	DLPAction DLPAction `json:"dlp_action,omitempty"`
}

const legacyRoutesField = "cred_proxy.routes"

// loadLegacy makes a bottle of the front matter of a claude-bottle file, which is then judged like any other.
func (d *document) loadLegacy() {
	d.slug, d.declares = d.file.slug(), true
	d.positions["metadata.name"] = position{1, 1}
	d.bottle = Bottle{APIVersion: APIVersion, Kind: Kind, Metadata: Metadata{Name: d.file.bottleName()}, Source: d.source()}
	d.refuseUnplain()
	var front legacyBottle
	d.decode(d.root, reflect.ValueOf(&front).Elem(), "")
	d.translate(front)
}

// isConvertible tells whether nothing is wrong but that something has no equivalent.
func (d *document) isConvertible() bool { return len(d.problems)+d.omitted == d.lost }

// translate makes a bottle of the front matter. It always has an agent, without an image: whether one runs is not for the
// file to say.
func (d *document) translate(front legacyBottle) {
	d.bottle.Spec = Spec{
		Supervise: front.Supervise,
		Egress:    Egress{Allowlist: front.Egress.Allowlist, DLPAction: front.Egress.DLPAction},
		Agent:     &Agent{Env: front.Env},
	}
	d.adopt("spec.egress.dlpAction")
	d.adoptList("spec.egress.allowlist", len(front.Egress.Allowlist))
	d.adopt(envField)
	for name := range front.Env {
		d.adopt(fieldOf(envField, name))
	}
	if front.CredProxy == nil {
		return
	}
	d.bottle.Spec.CredProxy = &CredProxy{}
	d.adopt("spec.credProxy")
	d.adopt(routesField)
	for i, r := range front.CredProxy.Routes {
		d.translateRoute(r, elementOf(routesField, i))
	}
}

func (d *document) translateRoute(r legacyRoute, field string) {
	proxy := d.bottle.Spec.CredProxy
	proxy.Routes = append(proxy.Routes, Route{
		Path: withSlashes(r.Path), Upstream: r.Upstream, AuthScheme: r.AuthScheme, Token: SecretRef{Env: r.TokenRef}, Roles: r.Role,
	})
	for _, at := range []string{"", ".path", ".upstream", ".authScheme", ".token", ".token.env"} {
		d.adopt(field + at)
	}
	d.adoptList(field+".roles", len(r.Role))
}

// withSlashes adds the slashes that a manifest wants around a path.
func withSlashes(path string) string {
	if path == "" {
		return path
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if !strings.HasSuffix(path, "/") {
		path += "/"
	}
	return path
}

// adopt has a field of the manifest be where its equivalent is.
func (d *document) adopt(field string) {
	legacy := d.spelled(field)
	at, there := d.positions[legacy]
	if !there {
		return
	}
	d.positions[field] = at
	if d.unusable[legacy] {
		d.unusable[field] = true
	}
}

func (d *document) adoptList(field string, length int) {
	d.adopt(field)
	for i := range length {
		d.adopt(elementOf(field, i))
	}
}

// lose reports what a manifest has no equivalent for.
func (d *document) lose(at position, field, reason, fix string) {
	d.lost++
	d.reportAt(at, field, reason, fix)
}

func legacyKeyFix(key string, known fields) string {
	if meant := scalar.Closest(key, known.order); meant != "" {
		return "did you mean " + meant + "?"
	}
	return fmt.Sprintf("remove it if the bottle can do without it; the keys here are %s; bottled import makes a manifest of the rest", known.names())
}
