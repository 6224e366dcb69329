package edit

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v3"
)

// remove makes the splices that remove an entry. Comments above it stay.
func (e *editor) remove(at place) error {
	if at.in == nil {
		return errors.New("it is the whole document")
	}
	if at.in.isFlow() {
		return e.removeFlow(at)
	}
	if len(at.in.entries) == 1 {
		return e.empty(at.in)
	}
	return e.removeBlock(at)
}

// empty writes the empty value of a block collection.
func (e *editor) empty(i *item) error {
	holder, found := e.holder(place{value: e.root}, i)
	if !found || holder.in == nil {
		return errors.New("nothing would be left of the document")
	}
	text := "[]"
	if i.node.Kind == yaml.MappingNode {
		text = "{}"
	}
	return e.setText(holder, text)
}

// holder finds the place of a value.
func (e *editor) holder(at place, of *item) (place, bool) {
	if at.value == of {
		return at, true
	}
	for n, entry := range at.value.entries {
		if found, ok := e.holder(place{at.value, n, entry.value}, of); ok {
			return found, true
		}
	}
	return place{}, false
}

// removeBlock removes the lines of an entry.
func (e *editor) removeBlock(at place) error {
	entry := at.entry()
	end, err := e.restOfLine(entry.value.last().end)
	if err != nil {
		return err
	}
	if !e.startsLine(entry.first) { // the first one, behind a dash
		next := at.in.entries[at.index+1].first
		if strings.TrimSpace(e.text[end:next]) != "" {
			return errors.New("a comment follows that would lose its place")
		}
		e.cut(entry.first, next)
		return nil
	}
	start := lineStart(e.text, entry.first)
	if end == len(e.text) && start > 0 { // the file does not end with a line break, and should not then
		e.cut(e.lineBefore(start), end)
		return nil
	}
	e.cut(start, nextLine(e.text, end))
	return nil
}

// removeFlow removes an entry of a flow collection, with one comma.
func (e *editor) removeFlow(at place) error {
	entry, last := at.entry(), at.index == len(at.in.entries)-1
	comma := e.commaAfter(entry.value.end)
	end := max(entry.value.end, comma+1)
	if line, err := e.restOfLine(end); err == nil && e.startsLine(entry.first) {
		e.cut(lineStart(e.text, entry.first), nextLine(e.text, line))
		e.dropComma(at, last && comma < 0)
		return nil
	}
	switch {
	case !last && strings.Contains(e.text[end:at.in.entries[at.index+1].first], "#"):
		e.cut(entry.first, end)
	case !last:
		e.cut(entry.first, at.in.entries[at.index+1].first)
	case at.index > 0 && !strings.Contains(e.text[at.in.entries[at.index-1].value.end:entry.first], "#"):
		e.cut(at.in.entries[at.index-1].value.end, entry.value.end)
	default:
		e.cut(entry.first, end)
		e.dropComma(at, comma < 0)
	}
	return nil
}

// dropComma removes the comma before an entry.
func (e *editor) dropComma(at place, drop bool) {
	if at.index == 0 || !drop {
		return
	}
	if comma := e.commaAfter(at.in.entries[at.index-1].value.end); comma >= 0 {
		e.cut(comma, comma+1)
	}
}
