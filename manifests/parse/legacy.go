package parse

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/bot-bottle/bottled/manifests/route"
	"github.com/bot-bottle/bottled/manifests/scalar"
	"github.com/bot-bottle/bottled/manifests/v1alpha1"
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
type oneOrMore []route.Role

type legacyEgress struct {
	Allowlist []string           `json:"allowlist,omitempty"`
	DLPAction v1alpha1.DLPAction `json:"dlp_action,omitempty"`
}

const legacyRoutesField = "cred_proxy.routes"

// loadLegacy makes a bottle of the front matter of a claude-bottle file, which is then judged like any other.
func (d *Document) loadLegacy() {
	d.Slug, d.Declares = d.File.slug(), true
	d.positions["metadata.name"] = Position{1, 1}
	d.Bottle = v1alpha1.Bottle{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.Kind, Metadata: v1alpha1.Metadata{Name: d.File.bottleName()}, Source: d.source()}
	d.refuseUnplain()
	var front legacyBottle
	d.decode(d.root, reflect.ValueOf(&front).Elem(), "")
	d.translate(front)
}

// IsConvertible reports whether the only problems are fields without an equivalent.
func (d *Document) IsConvertible() bool { return len(d.problems)+d.omitted == d.lost }

// translate makes a bottle of the front matter. It always has an agent, without an image: whether one runs is not for the
// file to say.
func (d *Document) translate(front legacyBottle) {
	d.Bottle.Spec = v1alpha1.Spec{
		Supervise: front.Supervise,
		Egress:    v1alpha1.Egress{Allowlist: v1alpha1.Allow(front.Egress.Allowlist...), DLPAction: front.Egress.DLPAction},
		Agent:     &v1alpha1.Agent{},
	}
	if front.Env != nil {
		d.Bottle.Spec.Agent.Env = map[string]v1alpha1.EnvValue{}
	}
	for name, value := range front.Env {
		d.Bottle.Spec.Agent.Env[name] = v1alpha1.EnvValue{Text: value}
	}
	d.adopt("spec.egress.dlpAction")
	d.adoptList("spec.egress.allowlist", len(front.Egress.Allowlist))
	d.adopt(v1alpha1.EnvField)
	for name := range front.Env {
		d.adopt(scalar.FieldOf(v1alpha1.EnvField, name))
	}
	if front.CredProxy == nil {
		return
	}
	d.Bottle.Spec.CredProxy = &v1alpha1.CredProxy{}
	d.adopt("spec.credProxy")
	d.adopt(v1alpha1.RoutesField)
	for i, r := range front.CredProxy.Routes {
		d.translateRoute(r, ElementOf(v1alpha1.RoutesField, i))
	}
}

func (d *Document) translateRoute(r legacyRoute, field string) {
	proxy := d.Bottle.Spec.CredProxy
	proxy.Routes = append(proxy.Routes, route.Route{
		Path: withSlashes(r.Path), Upstream: r.Upstream, AuthScheme: r.AuthScheme, Token: route.SecretRef{Env: r.TokenRef}, Roles: r.Role,
	})
	for _, at := range []string{"", ".path", ".upstream", ".authScheme", ".token", ".token.env"} {
		d.adopt(field + at)
	}
	d.adoptList(field+".roles", len(r.Role))
}

// LegacyRoute returns a route as the front matter of a claude-bottle file has it. It is false if that can't say all of the route.
func LegacyRoute(r route.Route) (any, bool) {
	front := legacyRoute{Path: r.Path, Upstream: r.Upstream, AuthScheme: r.AuthScheme, TokenRef: r.Token.Env, Role: r.Roles}
	back := route.Route{Path: front.Path, Upstream: front.Upstream, AuthScheme: front.AuthScheme, Token: route.SecretRef{Env: front.TokenRef}, Roles: front.Role}
	return front, reflect.DeepEqual(r, back)
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
func (d *Document) adopt(field string) {
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

func (d *Document) adoptList(field string, length int) {
	d.adopt(field)
	for i := range length {
		d.adopt(ElementOf(field, i))
	}
}

// Lose reports what a manifest has no equivalent for.
func (d *Document) Lose(at Position, field, reason, fix string) {
	d.lost++
	d.reportAt(at, field, reason, fix)
}

func legacyKeyFix(key string, known fields) string {
	if meant := scalar.Closest(key, known.order); meant != "" {
		return "did you mean " + meant + "?"
	}
	return fmt.Sprintf("remove it if the bottle can do without it; the keys here are %s; bottled import makes a manifest of the rest", known.names())
}
