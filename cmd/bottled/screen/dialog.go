package screen

import (
	"strings"

	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
)

// dialog asks for a text or for one of a few keys, below what is shown.
type dialog struct {
	above []line
	// prompt stands before the text; without one only keys are asked for.
	prompt string
	input  textinput.Model
	keys   []key
	// choices are what keys do. The keys of a text are enter and esc.
	choices map[string]func() tea.Cmd
	// changed is called with the text whenever it changes, accepted when it is entered, cancelled when nothing comes of it.
	changed   func(value string)
	accepted  func(value string) tea.Cmd
	cancelled func()
}

// maxInput is the most that is typed, in characters: an answer's notes may be as long.
const maxInput = 1000

// ask asks for a text.
func (m *Model) ask(prompt, value string, above ...line) *dialog {
	d := &dialog{prompt: prompt, above: above, input: textinput.New()}
	d.input.CharLimit = maxInput
	d.input.SetVirtualCursor(false)
	d.input.SetValue(value)
	d.input.Focus()
	m.dialog = d
	return d
}

// choose asks for a key.
func (m *Model) choose(above []line, keys []key, choices map[string]func() tea.Cmd) {
	m.dialog = &dialog{above: above, keys: append(keys, key{"esc", "back"}), choices: choices}
}

// pressDialog takes a key. Nothing happens without enter, or a key that is offered.
func (m *Model) pressDialog(msg tea.KeyPressMsg) tea.Cmd {
	d, k := m.dialog, msg.String()
	switch {
	case k == "esc":
		m.dialog = nil
		if d.cancelled != nil {
			d.cancelled()
		}
		return nil
	case d.prompt == "":
		if chosen := d.choices[k]; chosen != nil {
			m.dialog = nil
			return chosen()
		}
		return nil
	case k == "enter":
		m.dialog = nil
		if d.accepted != nil {
			return d.accepted(strings.TrimSpace(d.input.Value()))
		}
		return nil
	}
	d.update(msg)
	return nil
}

// update has a key or pasted text change the text. What the input would do later is to blink.
func (d *dialog) update(msg tea.Msg) {
	if d.prompt == "" {
		return
	}
	before := d.input.Value()
	d.input, _ = d.input.Update(msg)
	if now := d.input.Value(); now != before && d.changed != nil {
		d.changed(now)
	}
}

// lines draws the dialog. cursor is the column of the text's cursor, in the last line; -1 without a text.
func (d *dialog) lines(cells int) (all []line, cursor int) {
	for _, l := range d.above {
		for _, s := range l.spans {
			for _, t := range wrap(s.text, cells, "  ") {
				all = append(all, text(s.look, t))
			}
		}
	}
	if d.prompt == "" {
		return append(all, keyLines(d.keys, cells)...), -1
	}
	value := []rune(d.input.Value())
	first, room := 0, cells-width(d.prompt)-1
	for width(string(value[first:d.input.Position()])) > room {
		first++
	}
	cursor = width(d.prompt + string(value[first:d.input.Position()]))
	return append(all, spans(span{d.prompt, strong}, span{string(value[first:]), plain})), cursor
}
