package screen

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/bot-bottle/bottled/state/printable"
)

// theme is the looks' styles. The terminal's own foreground and background stay as they are.
type theme map[look]lipgloss.Style

// newTheme has colours that can be read on a dark or a light background. Where there are none (NO_COLOR), bold, faint and reverse are left.
func newTheme(dark bool) theme {
	of := lipgloss.LightDark(dark)
	colour := func(light, dark string) lipgloss.Style {
		return lipgloss.NewStyle().Foreground(of(lipgloss.Color(light), lipgloss.Color(dark)))
	}
	return theme{
		plain:   lipgloss.NewStyle(),
		dim:     colour("#5f6b76", "#8b949e"),
		strong:  lipgloss.NewStyle().Bold(true),
		good:    colour("#116329", "#56d364"),
		busy:    colour("#0550ae", "#79c0ff"),
		warning: colour("#7d4e00", "#e3b341"),
		bad:     colour("#a40e26", "#ff7b72").Bold(true),
		added:   colour("#116329", "#56d364"),
		removed: colour("#a40e26", "#ff7b72"),
	}
}

var selection = lipgloss.NewStyle().Reverse(true)

// render escapes a line and cuts it to a width in cells. A selected one fills it.
func (t theme) render(l line, cells int) string {
	if l.selected {
		var whole strings.Builder
		for _, s := range l.spans {
			whole.WriteString(s.text)
		}
		return selection.Render(fit(whole.String(), cells))
	}
	var out strings.Builder
	for _, s := range l.spans {
		escaped := printable.Line(s.text)
		if ansi.StringWidth(escaped) > cells {
			if escaped = strings.TrimRight(escaped, " "); ansi.StringWidth(escaped) > cells {
				escaped = cut(escaped, cells)
			}
		}
		cells -= ansi.StringWidth(escaped)
		if escaped != "" {
			out.WriteString(t[s.look].Render(escaped))
		}
		if cells <= 0 {
			break
		}
	}
	return out.String()
}
