// Package browser drives a real browser, Chromium without a window, in tests of the page.
package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/performance"
)

// patience is how long something may take that the page is to show.
const patience = 20 * time.Second

// Tab is a tab of a browser that ends with the test, which fails if the page logged an error or violated its content security policy.
type Tab struct {
	tb  testing.TB
	ctx context.Context
	log *pageLog
}

// pageLog are the errors that a page has logged.
type pageLog struct {
	mu     sync.Mutex
	errors []string
	// disturbed: the browser has broken requests off since an interface of the host came or went, as containers' do all the time.
	disturbed bool
}

// In returns the tab as a subtest uses it.
func (t *Tab) In(tb testing.TB) *Tab { return &Tab{tb, t.ctx, t.log} }

// Open starts a browser with a profile of its own and visits an address. Without a browser the test fails, and says how to get one.
func Open(tb testing.TB, url string) *Tab {
	tb.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.UserDataDir(tb.TempDir()))
	if os.Geteuid() == 0 { // Chromium's sandbox refuses root
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	tb.Cleanup(stop)
	ctx, _ := chromedp.NewContext(allocator) // Cancel ends it, and waits
	t := &Tab{tb, ctx, &pageLog{}}
	messages := chromedp.Console(ctx)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		tb.Fatalf("a browser does not start: %v\ninstall Chromium (task setup:clients does on Debian)", err)
	}
	var listening sync.WaitGroup
	listening.Go(func() { t.listen(messages) })
	tb.Cleanup(func() {
		t.close()
		listening.Wait()
	})
	t.Visit(url)
	return t
}

// listen notes the page's errors until the browser ends.
func (t *Tab) listen(messages iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range messages {
		if err != nil {
			return
		}
		if m.Type == chromedp.ConsoleException || m.Type == "error" {
			t.note(m.Text)
		}
	}
}

func (t *Tab) note(problem string) {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	if strings.Contains(problem, "net::ERR_NETWORK_CHANGED") {
		t.log.disturbed = true
		return
	}
	t.log.errors = append(t.log.errors, problem)
}

// Errors returns the errors that the page has logged since, and forgets them.
func (t *Tab) Errors() []string {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	all := t.log.errors
	t.log.errors = nil
	return all
}

func (t *Tab) close() {
	for _, e := range t.Errors() {
		t.tb.Errorf("the page logged an error: %s", e)
	}
	if t.tb.Failed() {
		if text, err := chromedp.Run(t.ctx, chromedp.Text(chromedp.CSS("body"))); err == nil {
			t.tb.Logf("the page at the end:\n%s", text)
		}
	}
	if err := chromedp.Cancel(t.ctx); err != nil {
		t.tb.Errorf("end the browser: %v", err)
	}
}

// do carries steps out, with a limit.
func (t *Tab) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.tb.Fatalf("%s: %v", what, err)
	}
}

// Visit goes to an address.
func (t *Tab) Visit(url string) {
	t.tb.Helper()
	t.do("visit "+url, chromedp.Navigate(url))
}

// Click clicks on the first element that a selector (CSS) finds, once it is visible.
func (t *Tab) Click(selector string) {
	t.tb.Helper()
	t.do("click "+selector, chromedp.WaitVisible(chromedp.CSS(selector)), chromedp.Click(chromedp.CSS(selector)))
}

// Type types into an element.
func (t *Tab) Type(selector, text string) {
	t.tb.Helper()
	t.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// Press presses keys, wherever the focus is.
func (t *Tab) Press(keys string) {
	t.tb.Helper()
	t.do("press "+keys, chromedp.KeyEvent(keys))
}

// Size makes the window so many CSS pixels wide and high.
func (t *Tab) Size(width, height int64) {
	t.tb.Helper()
	t.do("resize", chromedp.EmulateViewport(width, height))
}

// Dark has the page drawn in the dark scheme, or in the light one.
func (t *Tab) Dark(dark bool) {
	t.tb.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	t.do("choose a scheme", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		return err
	}))
}

// Text returns the visible text of the first element that a selector finds; "" when there is none.
func (t *Tab) Text(selector string) string {
	t.tb.Helper()
	return Evaluate[string](t, `document.querySelector(`+quote(selector)+`)?.innerText ?? ""`)
}

// WaitText waits until the first element that a selector finds has a text, without reloading the page.
func (t *Tab) WaitText(selector, text string) {
	t.tb.Helper()
	t.WaitFor(fmt.Sprintf("%s has %q", selector, text), `(document.querySelector(`+quote(selector)+`)?.innerText ?? "").includes(`+quote(text)+`)`)
}

// WaitFor waits until an expression of JavaScript is true.
func (t *Tab) WaitFor(what, expression string) {
	t.tb.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if Evaluate[bool](t, "Boolean("+expression+")") {
			return
		}
		if time.Now().After(deadline) {
			t.tb.Fatalf("not after %s: %s", patience, what)
		}
		if t.wasDisturbed() { // as a person would
			t.do("reload", chromedp.Reload())
		}
	}
}

// wasDisturbed reports whether the page has missed something since the last call for no reason of its own.
func (t *Tab) wasDisturbed() bool {
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	was := t.log.disturbed
	t.log.disturbed = false
	return was
}

// Evaluate returns the value of an expression of JavaScript.
func Evaluate[T any](t *Tab, expression string) T {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.tb.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Screenshot returns what the window shows, as PNG.
func (t *Tab) Screenshot() []byte {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.tb.Fatalf("screenshot: %v", err)
	}
	return image
}

// TaskTime is the processor time that the page has used.
func (t *Tab) TaskTime() time.Duration {
	t.tb.Helper()
	t.do("enable measuring", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, performance.Enable, performance.EnableParams{})
		return err
	}))
	all, err := chromedp.Call(t.ctx, performance.GetMetrics, cdp.Empty{})
	if err != nil {
		t.tb.Fatalf("measure: %v", err)
	}
	for _, m := range all.Metrics {
		if m.Name == "TaskDuration" {
			return time.Duration(m.Value * float64(time.Second))
		}
	}
	t.tb.Fatal("the browser does not say what the page used")
	return 0
}

// Location is the address of the page.
func (t *Tab) Location() string {
	t.tb.Helper()
	return Evaluate[string](t, "location.href")
}

// quote makes a text a string of JavaScript.
func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil { // a string has a JSON form
		panic(err)
	}
	return strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`).Replace(string(quoted))
}
