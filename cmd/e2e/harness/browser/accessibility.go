package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/chromedp/chromedp"

	"github.com/chromedp/cdproto/accessibility"
)

// namedRoles are the roles of elements that are nothing to a screen reader without a name.
var namedRoles = []string{"button", "link", "textbox", "searchbox", "combobox", "checkbox", "radio", "switch", "slider", "table", "img", "dialog", "navigation", "region"}

// Obstacles returns what gets in the way of people who use a keyboard, a screen reader or a magnifier: the checks of the usual list that a
// program can do, on the tree that Chromium gives to screen readers and on the styles that it computes.
func (t *Tab) Obstacles() []string {
	t.tb.Helper()
	return append(t.unnamed(), Evaluate[[]string](t, obstacles)...)
}

// unnamed are the elements that need a name and have none.
func (t *Tab) unnamed() []string {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	tree, err := chromedp.Call(ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	if err != nil {
		t.tb.Fatalf("accessibility tree: %v", err)
	}
	var all []string
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil || !slices.Contains(namedRoles, textOf(n.Role)) || textOf(n.Name) != "" {
			continue
		}
		all = append(all, fmt.Sprintf("a %s has no name (node %d)", textOf(n.Role), n.BackendDOMNodeID))
	}
	return all
}

func textOf(v *accessibility.Value) string {
	var text string
	if v == nil || json.Unmarshal([]byte(v.Value), &text) != nil {
		return ""
	}
	return text
}

// obstacles is a program that lists, as texts: a document without language, title, main landmark or one first heading; headings that skip a
// level; ids that are not unique; labels of nothing; positive tabindex; table headers without scope; text with a contrast below 4.5 (3 where it is
// large); buttons smaller than 24 × 24 pixels; and a page that is wider than its window.
const obstacles = `(() => {
	const all = [];
	const say = (what, e) => all.push(what + (e ? ": " + e.outerHTML.slice(0, 160) : ""));
	if (!document.documentElement.lang) say("the document has no language");
	if (!document.title) say("the document has no title");
	if (document.querySelectorAll("main").length !== 1) say("there is not one main landmark");
	if (document.querySelectorAll("h1").length !== 1) say("there is not one first heading");
	let level = 0;
	for (const h of document.querySelectorAll("h1,h2,h3,h4,h5,h6")) {
		const n = Number(h.tagName[1]);
		if (n > level + 1) say("a heading skips a level", h);
		level = n;
	}
	const ids = new Set();
	for (const e of document.querySelectorAll("[id]")) { if (ids.has(e.id)) say("an id is not unique", e); ids.add(e.id); }
	for (const l of document.querySelectorAll("label[for]")) if (!document.getElementById(l.htmlFor)) say("a label is of nothing", l);
	for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) say("a positive tabindex", e);
	for (const h of document.querySelectorAll("th:not([scope])")) say("a header of a table has no scope", h);
	const colour = text => { const m = text.match(/[\d.]+/g).map(Number); return {r: m[0], g: m[1], b: m[2], a: m.length > 3 ? m[3] : 1}; };
	const over = (top, under) => ({r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a), b: top.b * top.a + under.b * (1 - top.a), a: 1});
	const light = c => { const f = v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }; return 0.2126 * f(c.r) + 0.7152 * f(c.g) + 0.0722 * f(c.b); };
	const behind = e => { const layers = []; for (; e; e = e.parentElement) layers.push(colour(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((under, top) => over(top, under), {r: 255, g: 255, b: 255, a: 1}); };
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; n = walker.nextNode();) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility({opacityProperty: true, visibilityProperty: true}) || e.closest("[disabled],svg")) continue;
		const style = getComputedStyle(e), back = behind(e), front = over(colour(style.color), back);
		const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
		const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
		if ((a + 0.05) / (b + 0.05) < (large ? 3 : 4.5)) say("contrast " + ((a + 0.05) / (b + 0.05)).toFixed(2), e);
	}
	for (const b of document.querySelectorAll("button,input[type=submit]")) {
		const r = b.getBoundingClientRect();
		if (b.checkVisibility() && (r.width < 24 || r.height < 24)) say("a small button", b);
	}
	if (document.documentElement.scrollWidth > innerWidth) say("the page is wider than its window: " + document.documentElement.scrollWidth + " > " + innerWidth);
	return all;
})()`
