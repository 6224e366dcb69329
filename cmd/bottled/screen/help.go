package screen

// key is a key and what it does, for people.
type key struct{ name, does string }

func (k key) spans() []span { return []span{{k.name, strong}, {" " + k.does + "  ", dim}} }

func (k key) width() int { return width(k.name+" "+k.does) + 2 }

// keyLine are as many keys as there is room for, and ? for all.
func keyLine(keys []key, cells int) line {
	all := key{"?", "all keys"}
	var l line
	room := cells - all.width()
	for _, k := range keys {
		if room -= k.width(); room < 0 {
			break
		}
		l.spans = append(l.spans, k.spans()...)
	}
	l.spans = append(l.spans, all.spans()...)
	return l
}

// keyLines are all keys.
func keyLines(keys []key, cells int) []line {
	all := []line{{}}
	room := cells
	for _, k := range keys {
		if room -= k.width(); room < 0 && room+k.width() < cells {
			all, room = append(all, line{}), cells-k.width()
		}
		all[len(all)-1].spans = append(all[len(all)-1].spans, k.spans()...)
	}
	return all
}

// helpSections are all keys.
var helpSections = []struct {
	title string
	keys  []key
}{
	{"anywhere", []key{
		{"j k ↓ ↑", "the next, the one before"},
		{"space b PgDn PgUp", "a page further, a page back"},
		{"g G Home End", "the first, the last"},
		{"enter", "open what is selected; in a bottle, a session"},
		{"esc", "back"},
		{"?", "these keys"},
		{"q ctrl+c", "leave"},
		{"ctrl+z", "suspend the screen, as other programs; fg comes back"},
	}},
	{"what an agent asks for", []key{
		{"a", "approve; shows the change first"}, {"h", "approve a host for one hour"}, {"e", "edit the changed manifest, and approve what is saved"}, {"r", "reject, with a note for the agent"},
	}},
	{"all bottles", []key{
		{"/", "filter by words: names, labels, conditions"},
		{"o", "order by what needs attention, name, CPU, memory, requests, denials, change"},
		{"L", "group by a label, the next one"},
		{"f", "fold the bottles that need no attention, or show them"},
		{"tab", "from what agents ask for to the bottles, and back"},
	}},
	{"a bottle", []key{
		{"s", "a session in its agent's container, or one of its own"},
		{"S", "suspend"},
		{"U", "resume: undoes suspend and cut"},
		{"R", "restart"},
		{"X", "cut off: takes its way out away, at once"},
		{"tab 1…5", "overview, events, logs, traffic, declaration"},
		{"a h", "in traffic: allow the host that was denied; for one hour"},
		{"w", "in logs: side by side, or one after the other"},
	}},
}

func helpLines(cells int) []line {
	const names = 20
	var all []line
	for _, s := range helpSections {
		all = append(all, text(strong, s.title))
		for _, k := range s.keys {
			for i, t := range wrap(k.does, cells-names, "") {
				name := k.name
				if i > 0 {
					name = ""
				}
				all = append(all, spans(span{"  " + fit(name, names-2), plain}, span{t, dim}))
			}
		}
		all = append(all, line{})
	}
	return all
}

func (m *Model) pressHelp(k string) {
	if k == "?" || k == "esc" || k == "q" || !m.help.move(k, len(helpLines(m.width)), m.height-2) {
		m.help = nil
	}
}
