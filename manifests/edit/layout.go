package edit

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The parser's nodes say where a value begins, and not where it ends. A layout finds that by going through the text along the nodes. It
// must find each node where the parser did: whatever it does not understand is an error, and nothing is changed.

// item is a value, and where it is in the text.
type item struct {
	node       *node
	start, end int // equal for a value that is not written, like that of "key:"
	// tail is where the next line of the text may begin: after the blank lines that a block scalar keeps. 0 for all others.
	tail    int
	entries []entry
}

// entry is an entry of a mapping or list.
type entry struct {
	key   *item // nil in a list
	first int   // where it begins: its key, dash or, in a flow list, value
	mark  int   // where its colon or dash is; -1 without
	value *item
}

func (i *item) isFlow() bool    { return i.node.Style&yaml.FlowStyle != 0 }
func (i *item) isWritten() bool { return i.end > i.start }
func (i *item) collection() bool {
	return i.node.Kind == yaml.MappingNode || i.node.Kind == yaml.SequenceNode
}

// isBlock reports whether a value is a collection with an entry a line.
func (i *item) isBlock() bool { return i.collection() && !i.isFlow() }

// last is the value that ends where i does.
func (i *item) last() *item {
	for i.isBlock() && len(i.entries) > 0 {
		i = i.entries[len(i.entries)-1].value
	}
	return i
}

// layout is a text while its values are located.
type layout struct {
	text  string
	lines []int // offsets of the lines' beginnings, with line breaks as the parser has them
	at    int
}

// layOut locates the values of a document.
func layOut(text string, root *node) (*item, error) {
	l := &layout{text: text, lines: []int{0}}
	for at := 0; at < len(text); {
		if n := breakAt(text[at:]); n > 0 {
			at += n
			l.lines = append(l.lines, at)
			continue
		}
		at++
	}
	var err error
	if l.at, err = l.offset(root); err != nil {
		return nil, err
	}
	return l.value(root, -1)
}

// lineBreaks are those of YAML 1.1, which the parser counts.
var lineBreaks = []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"}

// breakAt is the length of the line break at the beginning of a text; 0 if there is none.
func breakAt(text string) int {
	if text == "" || text[0] > '\r' && text[0] < utf8.RuneSelf {
		return 0
	}
	for _, line := range lineBreaks {
		if strings.HasPrefix(text, line) {
			return len(line)
		}
	}
	return 0
}

// offset is where the parser found a node.
func (l *layout) offset(n *node) (int, error) {
	if n.Line < 1 || n.Line > len(l.lines) {
		return 0, fmt.Errorf("line %d is outside of the text", n.Line)
	}
	at := l.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRuneInString(l.text[at:])
		at += size
	}
	return at, nil
}

func (l *layout) failed(what string) error {
	return fmt.Errorf("line %d: %s", strings.Count(l.text[:min(l.at, len(l.text))], "\n")+1, what)
}

// skip goes to the next thing that is neither white space nor a comment.
func (l *layout) skip() {
	for l.at < len(l.text) {
		switch c := l.text[l.at]; {
		case c == ' ' || c == '\t':
			l.at++
		case c == '#':
			l.at = lineEnd(l.text, l.at)
		case breakAt(l.text[l.at:]) > 0:
			l.at += breakAt(l.text[l.at:])
		default:
			return
		}
	}
}

// take goes past a character that must be next, but for white space and comments.
func (l *layout) take(c byte) error {
	if l.skip(); !l.next(c) {
		return l.failed(fmt.Sprintf("%q is expected here", string(c)))
	}
	l.at++
	return nil
}

func (l *layout) next(c byte) bool { return l.at < len(l.text) && l.text[l.at] == c }

// value locates a value that is written. outer is the column of the innermost block collection around it, from 0; -1 without.
func (l *layout) value(n *node, outer int) (*item, error) {
	l.skip()
	start := l.at
	if at, err := l.offset(n); err != nil || at != start {
		return nil, l.failed("the value is not where it is expected")
	}
	if n.Anchor != "" || n.Kind == yaml.AliasNode || n.Style&yaml.TaggedStyle != 0 {
		return nil, l.failed("anchors, aliases and tags can't be edited")
	}
	i := &item{node: n, start: start}
	var err error
	switch {
	case n.Kind == yaml.ScalarNode:
		i.tail, err = l.scalar(n, outer)
	case i.isFlow():
		err = l.flow(i)
	default:
		err = l.block(i, n.Column-1)
	}
	i.end = l.at
	return i, err
}

// entryValue locates the value behind a colon or dash. It may not be written.
func (l *layout) entryValue(n *node, outer int) (*item, error) {
	if isUnwritten(n) {
		return &item{node: n, start: l.at, end: l.at}, nil
	}
	return l.value(n, outer)
}

func isUnwritten(n *node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" && n.Style == 0
}

// block locates the entries of a block collection in a column.
func (l *layout) block(i *item, column int) error {
	return l.entries(i, func(e *entry, value *node) (err error) {
		l.skip()
		e.first = l.at
		mark := byte('-')
		if e.key != nil {
			mark = ':'
			if e.key, err = l.value(e.key.node, column); err != nil {
				return err
			}
		}
		if err := l.take(mark); err != nil {
			return err
		}
		e.mark = l.at - 1
		e.value, err = l.entryValue(value, column)
		return err
	})
}

// flow locates the entries of a flow collection, which may end with a comma.
func (l *layout) flow(i *item) error {
	open, end := byte('['), byte(']')
	if i.node.Kind == yaml.MappingNode {
		open, end = '{', '}'
	}
	if err := l.take(open); err != nil {
		return err
	}
	err := l.entries(i, func(e *entry, value *node) error {
		if err := l.flowEntry(e, value); err != nil {
			return err
		}
		if l.skip(); l.next(',') {
			l.at++
		}
		return nil
	})
	if err != nil {
		return err
	}
	return l.take(end)
}

func (l *layout) flowEntry(e *entry, value *node) (err error) {
	l.skip()
	e.first, e.mark = l.at, -1
	if e.key == nil {
		e.value, err = l.value(value, -1)
		return err
	}
	if e.key, err = l.value(e.key.node, -1); err != nil {
		return err
	}
	end := l.at
	if l.skip(); !l.next(':') {
		e.value = &item{node: value, start: end, end: end}
		return nil
	}
	e.mark = l.at
	l.at++
	e.value, err = l.entryValue(value, -1)
	return err
}

// entries calls locate for each entry of a collection; in a mapping its key has a node.
func (l *layout) entries(i *item, locate func(e *entry, value *node) error) error {
	each := 1
	if i.node.Kind == yaml.MappingNode {
		each = 2
	}
	for at := 0; at < len(i.node.Content); at += each {
		var e entry
		if each == 2 {
			e.key = &item{node: i.node.Content[at]}
		}
		if err := locate(&e, i.node.Content[at+each-1]); err != nil {
			return err
		}
		i.entries = append(i.entries, e)
	}
	return nil
}

// scalar goes past a scalar, and returns its tail.
func (l *layout) scalar(n *node, outer int) (tail int, err error) {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return 0, l.quoted('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		return 0, l.quoted('\'')
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return l.blockScalar(outer), nil
	}
	return 0, l.plain(n.Value)
}

func (l *layout) quoted(quote byte) error {
	if err := l.take(quote); err != nil {
		return err
	}
	for ; l.at < len(l.text); l.at++ {
		switch {
		case quote == '"' && l.next('\\'):
			l.at++
		case l.next(quote) && quote == '\'' && strings.HasPrefix(l.text[l.at:], "''"):
			l.at++
		case l.next(quote):
			l.at++
			return nil
		}
	}
	return l.failed("the quote does not end")
}

// plain goes past a scalar without quotes. Its text is the value, but for white space where it is folded.
func (l *layout) plain(value string) error {
	words := bytes.FieldsFunc([]byte(value), isSpace)
	for n, word := range words {
		if n > 0 {
			l.at += len(l.text[l.at:]) - len(strings.TrimLeftFunc(l.text[l.at:], isSpace))
		}
		if !strings.HasPrefix(l.text[l.at:], string(word)) {
			return l.failed("the text is not as expected")
		}
		l.at += len(word)
	}
	return nil
}

func isSpace(r rune) bool { return r == ' ' || r == '\t' || breakAt(string(r)) > 0 }

// blockScalar goes past the last line of a block scalar, without the break there. It returns the tail if the scalar keeps blank lines.
func (l *layout) blockScalar(outer int) (tail int) {
	header := strings.Fields(l.text[l.at:lineEnd(l.text, l.at)])[0]
	indent := 0 // until a line says it
	if at := strings.IndexAny(header, "123456789"); at >= 0 {
		indent = max(outer, 0) + int(header[at]-'0')
	}
	l.at = lineEnd(l.text, l.at)
	at := nextLine(l.text, l.at)
	for ; at < len(l.text); at = nextLine(l.text, at) {
		line := l.text[at:lineEnd(l.text, at)]
		spaces := len(line) - len(strings.TrimLeft(line, " "))
		blank := spaces == len(line)
		if !blank && indent == 0 {
			indent = max(spaces, outer+1)
		}
		if !blank && spaces < indent {
			break
		}
		if !blank || indent > 0 && spaces > indent {
			l.at = at + len(line)
		}
	}
	if strings.Contains(header, "+") {
		return at
	}
	return 0
}

// lineEnd is where the line of an offset ends, without its break.
func lineEnd(text string, at int) int {
	for at < len(text) && breakAt(text[at:]) == 0 {
		at++
	}
	return at
}

// nextLine is where the next line begins.
func nextLine(text string, at int) int {
	at = lineEnd(text, at)
	return at + breakAt(text[at:])
}

// lineStart is where the line of an offset begins.
func lineStart(text string, at int) int {
	for at > 0 && breakBefore(text[:at]) == 0 {
		at--
	}
	return at
}

// breakBefore is the length of the line break at the end of a text; 0 if there is none.
func breakBefore(text string) int {
	for _, line := range lineBreaks {
		if strings.HasSuffix(text, line) {
			return len(line)
		}
	}
	return 0
}
