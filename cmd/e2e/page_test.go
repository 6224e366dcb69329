package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/cmd/e2e/harness/browser"
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/queue"
)

// signIn opens the page in a browser, by a link of bottled web.
func signIn(t *testing.T, e *harness.Env, flags ...string) (tab *browser.Tab, link string) {
	t.Helper()
	link = strings.TrimSpace(e.Expect(exitDone, append([]string{"web"}, flags...)...).Stdout)
	tab = browser.Open(t, link)
	tab.WaitText("main", "It works once")
	tab.Click("main form button")
	tab.WaitText("h2", "Inbox")
	return tab, link
}

// picture writes what a tab shows into the directory that BOTTLED_TEST_PICTURES names, for the documentation.
func picture(t *testing.T, tab *browser.Tab, name string) {
	t.Helper()
	image := tab.Screenshot()
	if dir := os.Getenv("BOTTLED_TEST_PICTURES"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), image, 0o600); err != nil {
			t.Error(err)
		}
	}
}

// noObstacles checks what a tab shows in both schemes, on a desk and on a phone.
func noObstacles(t *testing.T, tab *browser.Tab, what string) {
	t.Helper()
	for _, width := range []int64{1200, 390} {
		for _, dark := range []bool{false, true} {
			tab.Size(width, 800)
			tab.Dark(dark)
			for _, o := range tab.Obstacles() {
				t.Errorf("%s, %d wide, dark %t: %s", what, width, dark, o)
			}
		}
	}
	tab.Size(1200, 800)
	tab.Dark(false)
}

// TestPage drives the page with a real browser: an agent asks, which appears without a reload, and is approved; a denied host is allowed; a
// container that goes turns the bottle red, and green when it is back.
func TestPage(t *testing.T) {
	t.Parallel()
	a, _ := newAsking(t, "", "--listen", "127.0.0.1:0")
	tab, link := signIn(t, a.Env)
	home := tab.Location()
	tab.WaitText("#inbox", "No agent asks for anything")
	tab.WaitText("#fleet", "Ready")

	t.Run("ask and approve", func(t *testing.T) {
		a, tab := a.in(t), tab.In(t)
		c := a.askHost("ask.demo.example")
		tab.WaitText("#inbox", "allow ask.demo.example:80")
		tab.WaitText("#inbox", "the build needs it")
		tab.WaitText("#inbox .diff", "ask.demo.example:80")
		tab.WaitText("#fleet", "asks for 1")
		noObstacles(t, tab, "the inbox")
		picture(t, tab, "page-inbox")
		tab.Type("#inbox input[name=note]", "fine")
		tab.Click("#inbox button[value=approve]")
		if notes := a.answered(c, queue.Approved); !strings.Contains(notes, "fine") {
			t.Errorf("the agent does not get the note: %q", notes)
		}
		tab.WaitText("#proposal-state", "approved by "+operator(t))
		noObstacles(t, tab, "an answered proposal")
		a.reached("ask.demo.example")
	})

	t.Run("reject and edit", func(t *testing.T) {
		a, tab := a.in(t), tab.In(t)
		c := a.askHost("more.demo.example")
		tab.Visit(home)
		tab.WaitText("#inbox", "allow more.demo.example:80")
		tab.Click("#inbox h3 a")
		tab.WaitText("h1", "allow more.demo.example:80")
		tab.Click("main a.button")
		tab.WaitFor("the file can be edited", `document.querySelector("textarea[name=edited]")?.value.includes("more.demo.example:80")`)
		noObstacles(t, tab, "an edited proposal")
		tab.Type("input[name=note]", "use the mirror")
		tab.Click("button[value=reject]")
		if notes := a.answered(c, queue.Rejected); !strings.Contains(notes, "use the mirror") {
			t.Errorf("the agent does not get the note: %q", notes)
		}
		a.refused("more.demo.example")
	})

	t.Run("allow what was denied", func(t *testing.T) {
		a, tab := a.in(t), tab.In(t)
		a.refused("after.demo.example")
		tab.Press("h")
		tab.WaitText("#fleet", "ago") // the script, which knows the keys, has run
		tab.Press("j")                // the first proposal or bottle
		tab.Press("\r")
		tab.WaitText("h1", "one")
		tab.WaitText("#hosts", "after.demo.example:80")
		tab.WaitText("#bottle-graph", "pipelock")
		tab.Click(`#hosts button[aria-label="Allow after.demo.example:80"]`)
		tab.WaitText(".notice", "allow after.demo.example:80")
		a.reached("after.demo.example")
		tab.WaitText("#timeline", "after.demo.example")
		tab.WaitFor("it is not offered any more", `!document.querySelector('button[aria-label="Allow after.demo.example:80"]')`)
		noObstacles(t, tab, "a bottle")
		tab.Visit(home + "bottles/one")
		tab.WaitText("#components", "%")
		picture(t, tab, "page-bottle")
	})

	t.Run("red and green", func(t *testing.T) {
		a, tab := a.in(t), tab.In(t)
		color := func(want string) string {
			return `["bad","busy"].includes(document.querySelector("#c-pipelock")?.className) === ` + want
		}
		a.Docker("kill", a.Name(state.Pipelock, "one"))
		tab.WaitFor("the sidecar is not well", color("true"))
		tab.WaitFor("the sidecar is well again", `document.querySelector("#c-pipelock")?.className === "good"`)
		settledReady(t, a.Env, "one")
	})

	t.Run("cut off, after a question", func(t *testing.T) {
		a, tab := a.in(t), tab.In(t)
		tab.Click(`form[action$="/orders/cut"] button`)
		tab.WaitText("main", "loses its way out")
		tab.Click("main form button")
		tab.WaitText("#bottle-state", "cut off")
		tab.Click(`form[action$="/orders/resume"] button`)
		tab.WaitFor("it is not cut off any more", `document.querySelector("#bottle-state")?.innerText.includes("cut off") === false`)
		settledReady(t, a.Env, "one")
		if r := a.Expect(exitDone, "audit", "one", "--kind", "change", "-o", "json"); !strings.Contains(r.Stdout, `"cut"`) || !strings.Contains(r.Stdout, operator(t)) {
			t.Errorf("the order is not on record:\n%s", r.Stdout)
		}
	})

	t.Run("sessions", func(t *testing.T) {
		a := a.in(t)
		other := browser.Open(t, link)
		other.Click("main form button")
		other.WaitText("h1", "does not work any more")
		other.Errors() // 403 is one
		reader, _ := signIn(t, a.Env, "--read-only")
		if text := reader.Text("header"); !strings.Contains(text, "reading only") {
			t.Errorf("%s", text)
		}
		reader.Visit(reader.Location() + "bottles/one")
		reader.WaitText("h1", "one")
		if n := browser.Evaluate[int](reader, `document.querySelectorAll("main form").length`); n > 0 {
			t.Errorf("a session for reading has %d forms", n)
		}
	})
}
