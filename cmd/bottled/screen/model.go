package screen

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/cmd/bottled/overview"
	"github.com/bot-bottle/bottled/reconciler"
)

const (
	// minWidth and minHeight are the smallest terminal that is drawn on, in cells.
	minWidth, minHeight = 60, 12
	// ageInterval is how often ages are redrawn while nothing else changes.
	ageInterval = 10 * time.Second
	// frameRate is how often a second the terminal may be redrawn after a key.
	frameRate = 20
)

// Model is the screen: messages in, frames out.
type Model struct {
	ctx     context.Context
	backend Backend
	updates *updates
	now     func() time.Time

	width, height int
	theme         theme

	snapshot overview.Snapshot
	known    bool     // the status was read
	unread   []string // warnings about proposals that could not be read
	stale    string
	notice   notice

	fleet  fleet
	bottle *bottle // nil unless it is shown
	review *review // nil unless it is shown, before the bottle
	dialog *dialog // nil unless something is asked, at the bottom
	help   *window // nil unless it is shown, before everything else
	err    error   // that ended it
}

// New makes the screen. ctx ends what it follows.
func New(ctx context.Context, backend Backend, now func() time.Time) *Model {
	return &Model{ctx: ctx, backend: backend, updates: newUpdates(), now: now, theme: newTheme(true)}
}

// Run shows the screen on a terminal until somebody leaves it or ctx ends. The options are for tests.
func Run(ctx context.Context, backend Backend, in io.Reader, out io.Writer, options ...tea.ProgramOption) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m := New(ctx, backend, time.Now)
	options = append([]tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithFPS(frameRate)}, options...)
	if _, err := tea.NewProgram(m, options...).Run(); err != nil && ctx.Err() == nil {
		return err
	}
	return m.err
}

// Init begins to follow, and asks the terminal for its background.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(tea.RequestBackgroundColor, m.followAll(), tick())
}

// aged is the message that ages have grown.
type aged struct{}

func tick() tea.Cmd {
	return tea.Tick(ageInterval, func(time.Time) tea.Msg { return aged{} })
}

// Update takes a message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tea.BackgroundColorMsg:
		m.theme = newTheme(msg.IsDark())
	case aged:
		return m, tick()
	case Update:
		return m, tea.Batch(m.take(msg), m.updates.await(m.ctx))
	case failed:
		m.err = msg.err
		return m, tea.Quit
	case notice:
		m.notice = msg
	case described:
		return m, m.takeDescription(msg)
	case counts:
		return m, m.takeTraffic(msg)
	case reviewed:
		return m, m.takeReview(msg)
	case done:
		return m, m.takeDone(msg)
	case tea.KeyPressMsg:
		return m, m.press(msg)
	case tea.PasteMsg:
		if m.dialog != nil {
			m.dialog.update(msg)
		}
	}
	return m, nil
}

// take changes what is shown to what has come.
func (m *Model) take(u Update) tea.Cmd {
	var cmds []tea.Cmd
	if u.Status != nil {
		m.snapshot.Status, m.stale = *u.Status, u.Stale
		m.fleet.begin(m, !m.known)
		m.known = true
	} else if u.Stale != "" {
		m.stale = u.Stale
	}
	if u.Proposals != nil {
		if m.asksAnew(u.Proposals.Proposals) {
			cmds = append(cmds, tea.Raw("\a"))
		}
		m.snapshot.Proposals, m.unread = u.Proposals.Proposals, u.Proposals.Warnings
		cmds = append(cmds, m.refreshReview())
	}
	if u.Activity != nil {
		m.snapshot.Activity = *u.Activity
	}
	if u.Trouble != "" {
		m.notice = notice{u.Trouble, true}
	}
	if m.bottle != nil {
		cmds = append(cmds, m.bottle.take(m, u))
	}
	return tea.Batch(cmds...)
}

// asksAnew reports whether something waits that did not before, so that the bell rings.
func (m *Model) asksAnew(all []reconciler.Proposal) bool {
	if m.snapshot.Proposals == nil { // at the start everything is new
		return false
	}
	before := map[string]bool{}
	for _, p := range m.snapshot.Proposals {
		before[p.ID] = true
	}
	for _, p := range all {
		if !before[p.ID] && p.State == reconciler.ProposalWaiting {
			return true
		}
	}
	return false
}

// readOnly reports whether no controller runs that could carry anything out.
func (m *Model) readOnly() bool { return m.known && m.snapshot.Status.Controller == nil }

// press takes a key. What is in front gets it first.
func (m *Model) press(msg tea.KeyPressMsg) tea.Cmd {
	key := msg.String()
	switch key {
	case "ctrl+c":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	}
	m.notice = notice{}
	if m.width < minWidth || m.height < minHeight { // nobody sees what a key would do
		if key == "q" {
			return tea.Quit
		}
		return nil
	}
	switch {
	case m.help != nil:
		m.pressHelp(key)
		return nil
	case m.dialog != nil:
		return m.pressDialog(msg)
	case key == "?":
		m.help = &window{}
		return nil
	case m.review != nil:
		return m.pressReview(key)
	case m.bottle != nil:
		return m.pressBottle(key)
	}
	return m.pressFleet(key)
}

// View draws the frame.
func (m *Model) View() tea.View {
	v := tea.NewView("")
	v.AltScreen = true
	if m.width < minWidth || m.height < minHeight {
		v.Content = fit(fmt.Sprintf("bottled top needs %d×%d cells; here are %d×%d", minWidth, minHeight, m.width, m.height), max(m.width, 0))
		return v
	}
	head := m.header()
	foot, cursor := m.footer()
	body := max(0, m.height-len(head)-len(foot))
	var lines []line
	switch {
	case m.help != nil:
		lines = m.help.page(helpLines(m.width), body)
	case m.review != nil:
		lines = m.review.lines(m, body)
	case m.bottle != nil:
		lines = m.bottle.lines(m, body)
	default:
		lines = m.fleet.lines(m, body)
	}
	lines = lines[:min(len(lines), body)]
	for len(lines) < body {
		lines = append(lines, line{})
	}
	all := last(append(append(head, lines...), foot...), m.height)
	rendered := make([]string, len(all))
	for i, l := range all {
		rendered[i] = m.theme.render(l, m.width)
	}
	v.Content = strings.Join(rendered, "\n")
	if cursor >= 0 {
		v.Cursor = tea.NewCursor(min(cursor, m.width-1), m.height-1)
	}
	return v
}
