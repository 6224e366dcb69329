package screen

import (
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/bot-bottle/bottled/reconciler"
)

// bottleKeys are those at the bottom.
func (m *Model) bottleKeys() []key {
	keys := []key{{"tab", "next tab"}, {"enter", "session"}, {"esc", "back"}}
	switch m.bottle.tab {
	case trafficTab:
		keys = append([]key{{"a", "allow this host"}, {"h", "for 1 h"}}, keys...)
	case logsTab:
		keys = append(keys, key{"w", "side by side"})
	}
	return append(keys, key{"S", "suspend"}, key{"U", "resume"}, key{"R", "restart"}, key{"X", "cut"})
}

// pressBottle takes a key of a bottle's view.
func (m *Model) pressBottle(k string) tea.Cmd {
	b := m.bottle
	switch k {
	case "esc", "q":
		m.closeBottle()
		return nil
	case "tab", "right", "l":
		return b.show(m, (b.tab+1)%tabs)
	case "shift+tab", "left":
		return b.show(m, (b.tab+tabs-1)%tabs)
	case "1", "2", "3", "4", "5":
		return b.show(m, tab(k[0]-'1'))
	case "w":
		b.beside = !b.beside
		return nil
	case "enter":
		return m.askSession(b.name)
	}
	if b.tab == trafficTab {
		_, hosts := b.trafficRows(m.now(), m.width)
		if b.pages[trafficTab].move(k, len(hosts), m.height/2) {
			return nil
		}
		if k == "a" || k == "h" {
			return m.askAllow(k, hosts)
		}
	} else if b.pages[b.tab].move(k, 1<<20, m.height-4) {
		return nil
	}
	return m.pressSwitch(k, b.name)
}

// show turns to a tab. Logs are read from the first look at them on.
func (b *bottle) show(m *Model, t tab) tea.Cmd {
	b.tab = t
	switch {
	case t == logsTab && !b.logged:
		b.logged = true
		return m.followLogs(b.ctx, b.name)
	case t == trafficTab:
		return b.describe(m)
	}
	return nil
}

// askAllow asks whether the selected host is to be allowed. It is written as an approval is.
func (m *Model) askAllow(k string, hosts []string) tea.Cmd {
	b := m.bottle
	at := b.pages[trafficTab].at
	if m.readOnly() || at >= len(hosts) || hosts[at] == "" {
		m.notice = notice{"the allowlist would not change this", true}
		if m.readOnly() {
			m.notice.text = "no controller runs that could change a manifest: start one with bottled reconcile DIR…"
		}
		return nil
	}
	request := reconciler.AllowRequest{Host: hosts[at]}
	limit := ""
	if k == "h" {
		request.For = hour
		limit = " for one hour, until " + m.now().Add(hour).Format(time.TimeOnly)
	}
	name := b.name
	above := text(strong, fmt.Sprintf("Allow %s for %s%s? enter writes it into the manifest, esc goes back.", request.Host, name, limit))
	m.ask("note for the audit log: ", "", above).accepted = func(note string) tea.Cmd {
		request.Notes = note
		m.notice = notice{text: fmt.Sprintf("%s: %s …", name, request.Host)}
		return func() tea.Msg {
			said, err := m.backend.Allow(m.ctx, name, request)
			return done{said, err}
		}
	}
	return nil
}
