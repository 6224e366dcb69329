package screen

// window is the part of a list that is shown, and which of its entries is selected.
type window struct {
	at  int  // the selected entry, or the first line shown where nothing is selected
	top int  // the first entry shown
	end bool // of a tail: it stays at the end while that grows
}

// follow keeps the selected one of n entries within a height.
func (w *window) follow(n, height int) {
	height = max(height, 1)
	w.at = max(0, min(w.at, n-1))
	w.top = max(0, min(w.top, w.at, n-height))
	if w.at >= w.top+height {
		w.top = w.at - height + 1
	}
}

// scroll keeps the lines shown within n.
func (w *window) scroll(n, height int) {
	w.at = max(0, min(w.at, n-height))
	w.top = w.at
}

// page are the lines of a text that are shown.
func (w *window) page(all []line, height int) []line {
	height = max(height, 0)
	w.scroll(len(all), height)
	return all[w.top:min(len(all), w.top+height)]
}

// tail is page for a text that grows at its end.
func (w *window) tail(all []line, height int) []line {
	if w.end {
		w.at = len(all)
	}
	shown := w.page(all, height)
	w.end = w.at >= len(all)-height
	return shown
}

// move moves by a key of less, vi or the arrows. It reports whether it knows the key. All keys of lists are here, and in help.go.
func (w *window) move(key string, n, height int) bool {
	before := w.at
	switch key {
	case "j", "down":
		w.at++
	case "k", "up":
		w.at--
	case "pgdown", "space", "ctrl+f":
		w.at += height
	case "pgup", "b", "ctrl+b":
		w.at -= height
	case "ctrl+d":
		w.at += height / 2
	case "ctrl+u":
		w.at -= height / 2
	case "g", "home":
		w.at = 0
	case "G", "end":
		w.at = n
	default:
		return false
	}
	w.at = max(0, min(w.at, n-1))
	w.end = w.end && w.at >= before
	return true
}
