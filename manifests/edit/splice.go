package edit

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// splice is a replacement of a part of a text.
type splice struct {
	from, to int
	text     string
}

// editor makes the splices for one change of a document.
type editor struct {
	text    string
	newline string
	style   style
	root    *item
	splices []splice
}

func newEditor(text string, root *item, json bool) *editor {
	newline := "\n"
	if end := lineEnd(text, root.start); strings.HasPrefix(text[end:], "\r\n") || end == len(text) && strings.Contains(text, "\r\n") {
		newline = "\r\n"
	}
	return &editor{text: text, newline: newline, root: root, style: styleOf(root, text, json)}
}

func (e *editor) replace(from, to int, text string) {
	e.splices = append(e.splices, splice{from, to, text})
}

func (e *editor) insert(at int, text string) { e.replace(at, at, text) }
func (e *editor) cut(from, to int)           { e.replace(from, to, "") }

// result is the text with the splices, which don't overlap.
func (e *editor) result() string {
	slices.SortStableFunc(e.splices, func(a, b splice) int { return cmp.Compare(a.from, b.from) })
	var out strings.Builder
	at := 0
	for _, s := range e.splices {
		out.WriteString(e.text[at:s.from])
		out.WriteString(s.text)
		at = s.to
	}
	out.WriteString(e.text[at:])
	return out.String()
}

// place is an entry of a collection; of none for the whole document.
type place struct {
	in    *item
	index int
	value *item
}

func (p place) entry() entry { return p.in.entries[p.index] }

// find follows steps as descend does.
func (e *editor) find(steps []step) (place, []step) {
	at := place{value: e.root}
	for len(steps) > 0 {
		next := child(at.value.node, steps[0])
		if next == nil {
			break
		}
		n := slices.IndexFunc(at.value.entries, func(e entry) bool { return e.value.node == next })
		at, steps = place{at.value, n, at.value.entries[n].value}, steps[1:]
	}
	return at, steps
}

// change makes the splices of a change. changed has found out that it is possible.
func (e *editor) change(op Op, steps []step, value *node) error {
	at, rest := e.find(steps)
	open := 0
	switch {
	case op == OpRemove:
		return e.remove(at)
	case op == OpAppend && len(rest) == 0 && at.value.node.Kind == yaml.SequenceNode && e.hasRoom(at.value, value):
		return e.add(at.value, nil, value, 0)
	case op == OpAppend:
		value, open = listOf(value), 1
	}
	open += len(rest)
	if at.value.node.Kind == yaml.MappingNode && len(rest) > 0 && e.hasRoom(at.value, nil) {
		wrapped, err := wrap(rest[1:], value)
		if err != nil {
			return err
		}
		key := &node{Kind: yaml.ScalarNode, Tag: "!!str", Value: rest[0].key}
		return e.add(at.value, key, wrapped, open-1)
	}
	wrapped, err := wrap(rest, value)
	if err != nil {
		return err
	}
	return e.set(at, wrapped, open)
}

// hasRoom reports whether an entry is added to a collection as it is written. An empty one is written anew where lines suit better,
// unless it holds a comment.
func (e *editor) hasRoom(i *item, element *node) bool {
	return len(i.entries) > 0 || strings.Contains(e.text[i.start:i.end], "#") || element != nil && element.Kind == yaml.ScalarNode
}

// add adds an entry to a collection, at its end; key is nil in a list.
func (e *editor) add(to *item, key, value *node, open int) error {
	s := e.style.like(to, e.text)
	if to.isFlow() {
		text, err := s.flowEntry(key, value)
		if err != nil {
			return err
		}
		return e.addFlow(to, text)
	}
	if key == nil && value.Kind == yaml.MappingNode {
		blocks, flows := mappingsIn(to)
		if flows > 0 && blocks == 0 {
			text, err := s.flow(value)
			if err != nil {
				return err
			}
			return e.addLines(to, []string{s.dash + text})
		}
		open = max(open, min(blocks, 1))
	}
	lines, err := s.blockEntry(key, value, open)
	if err != nil {
		return err
	}
	return e.addLines(to, lines)
}

// mappingsIn counts the mappings in a list, by how they are written.
func mappingsIn(list *item) (blocks, flows int) {
	for _, e := range list.entries {
		switch {
		case e.value.node.Kind != yaml.MappingNode:
		case e.value.isFlow():
			flows++
		default:
			blocks++
		}
	}
	return blocks, flows
}

// addLines adds lines below the last entry of a block collection.
func (e *editor) addLines(to *item, lines []string) error {
	end := to.last()
	left := column(e.text, to.entries[0].first)
	indent := strings.Repeat(" ", left)
	if end.tail > 0 && lineStart(e.text, end.tail) == end.tail {
		e.insert(end.tail, indent+strings.Join(lines, e.newline+indent)+e.newline)
		return nil
	}
	at, err := e.restOfLine(end.end)
	if err == nil {
		e.insert(e.pastDeeper(at, left), e.newline+indent+strings.Join(lines, e.newline+indent))
	}
	return err
}

// pastDeeper goes from the end of a line past the comments below it that are indented further than a column: they are about what is above.
func (e *editor) pastDeeper(end, left int) int {
	for at := nextLine(e.text, end); at < len(e.text); at = nextLine(e.text, at) {
		line := e.text[at:lineEnd(e.text, at)]
		comment := strings.TrimLeft(line, " ")
		if comment != "" && (comment[0] != '#' || len(line)-len(comment) <= left) {
			break
		}
		if comment != "" {
			end = at + len(line)
		}
	}
	return end
}

// restOfLine is the end of a line that has nothing but white space and a comment after an offset.
func (e *editor) restOfLine(at int) (int, error) {
	end := lineEnd(e.text, at)
	if rest := strings.TrimLeft(e.text[at:end], " \t"); rest != "" && rest[0] != '#' {
		return 0, errors.New("something else is on the same line")
	}
	return end, nil
}

// addFlow adds an entry to a flow collection.
func (e *editor) addFlow(to *item, text string) error {
	if len(to.entries) == 0 {
		e.insert(to.start+1, text)
		return nil
	}
	last := to.entries[len(to.entries)-1]
	end := last.value.end
	if !e.startsLine(last.first) {
		e.insert(end, e.style.comma+text)
		return nil
	}
	lead := e.newline + e.text[lineStart(e.text, last.first):last.first]
	comma := e.commaAfter(end)
	line, err := e.restOfLine(max(end, comma+1))
	switch {
	case err != nil:
		e.insert(end, ","+lead+text)
	case comma >= 0:
		e.insert(line, lead+text+",")
	default:
		e.insert(end, ",")
		e.insert(line, lead+text)
	}
	return nil
}

// commaAfter is where the comma after an entry is; -1 without.
func (e *editor) commaAfter(at int) int {
	l := layout{text: e.text, at: at}
	if l.skip(); l.next(',') {
		return l.at
	}
	return -1
}

// startsLine reports whether nothing but white space is before an offset on its line.
func (e *editor) startsLine(at int) bool {
	return strings.TrimLeft(e.text[lineStart(e.text, at):at], " \t") == ""
}

// column is the column of an offset, from 0.
func column(text string, at int) int { return utf8.RuneCountInString(text[lineStart(text, at):at]) }

// set writes a value in place of another one, or where none is written.
func (e *editor) set(at place, value *node, open int) error {
	if at.in == nil {
		return errors.New("it is the whole document")
	}
	old := at.value
	s := e.style.like(at.in, e.text)
	switch {
	case old.node.Kind == value.Kind && len(old.entries) > 0:
		s = e.style.like(old, e.text)
	case old.node.Kind == yaml.ScalarNode && typeOf(old.node) == "!!str":
		s.quote = quoteOf(old.node)
	}
	if !at.in.isFlow() && e.wantsLines(old, value, open, s) {
		lines, err := s.block(value, open)
		if err != nil {
			return err
		}
		return e.setLines(at, value, lines)
	}
	text, err := s.flow(value)
	if err != nil {
		return err
	}
	return e.setText(at, text)
}

// wantsLines reports whether a value in a block collection is written with an entry a line.
func (e *editor) wantsLines(old *item, value *node, open int, s style) bool {
	switch {
	case len(value.Content) == 0:
		return false
	case old.isBlock():
		return true
	case len(old.entries) > 0:
		return false
	}
	return open > 0 || !s.isShort(value)
}

// setText writes a value of one line.
func (e *editor) setText(at place, text string) error {
	old, mark := at.value, at.entry().mark
	switch {
	case old.isBlock() && !e.sharesLine(mark, old.start):
		end, err := e.restOfLine(old.end)
		if err != nil {
			return err
		}
		e.insert(mark+1, " "+text)
		e.cut(e.lineBefore(old.start), end)
	case old.isWritten():
		e.replace(old.start, old.end, text)
	case mark < 0:
		return errors.New("the key has no colon")
	default:
		e.insert(mark+1, " "+text)
	}
	return nil
}

// lineBefore is the end of the line before that of an offset.
func (e *editor) lineBefore(at int) int {
	start := lineStart(e.text, at)
	return start - breakBefore(e.text[:start])
}

// sharesLine reports whether two offsets are on one line.
func (e *editor) sharesLine(a, b int) bool { return lineStart(e.text, a) == lineStart(e.text, b) }

// setLines writes a value of several lines.
func (e *editor) setLines(at place, value *node, lines []string) error {
	old, entry := at.value, at.entry()
	below := strings.Repeat(" ", column(e.text, entry.first)+e.style.below(value))
	end := old.end
	if old.isBlock() { // the comment behind it was about what goes
		end = lineEnd(e.text, end)
	}
	switch apart := entry.key == nil || !e.sharesLine(entry.mark, old.start); {
	case old.isWritten() && apart && (entry.key == nil || !old.isBlock() || old.node.Kind == value.Kind):
		indent := strings.Repeat(" ", column(e.text, old.start))
		e.replace(old.start, end, strings.Join(lines, e.newline+indent))
	case old.isWritten() && apart:
		e.replace(lineStart(e.text, old.start), end, below+strings.Join(lines, e.newline+below))
	case entry.key == nil:
		indent := strings.Repeat(" ", column(e.text, entry.mark)+2)
		e.insert(entry.mark+1, " "+strings.Join(lines, e.newline+indent))
	default:
		line, err := e.restOfLine(old.end)
		if err != nil {
			return err
		}
		e.cut(entry.mark+1, old.end)
		e.insert(line, e.newline+below+strings.Join(lines, e.newline+below))
	}
	return nil
}
