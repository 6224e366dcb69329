package envfile

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/bot-bottle/bottled/manifests/scalar"
)

const (
	// MaxBytes bounds an env file.
	MaxBytes = 64 << 10
	// maxProblems bounds what one file can make a reader read.
	maxProblems = 20
)

// Variable is one variable of a file.
type Variable struct {
	Name, Value string
	Line        int // counted from 1
}

// Problem is what is wrong in a line. It quotes no value.
type Problem struct {
	Line int
	scalar.Fault
}

// Error is the problem in one line: LINE: REASON; FIX.
func (p Problem) Error() string { return fmt.Sprintf("%d: %s; %s", p.Line, p.Reason, p.Fix) }

// Parse returns the variables of a file in their order, and all problems; with problems the variables are not complete.
func Parse(data []byte) ([]Variable, []Problem) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !utf8.ValidString(text) {
		return nil, []Problem{{1, *scalar.NewFault("the file is not UTF-8 text", "save it as UTF-8")}}
	}
	p := parser{rest: strings.ReplaceAll(text, "\r\n", "\n"), line: 1, lines: map[string]int{}}
	for p.rest != "" && len(p.problems) < maxProblems {
		p.entry()
	}
	return p.variables, p.problems
}

// parser reads a file from its start to its end.
type parser struct {
	rest      string
	line      int // of the first character of rest
	variables []Variable
	lines     map[string]int // by variable
	problems  []Problem
}

func (p *parser) report(line int, reason, fix string) {
	p.problems = append(p.problems, Problem{line, *scalar.NewFault(reason, fix)})
}

// skip drops the first n bytes.
func (p *parser) skip(n int) {
	p.line += strings.Count(p.rest[:n], "\n")
	p.rest = p.rest[n:]
}

// endLine drops the rest of the line, and returns it.
func (p *parser) endLine() string {
	line, _, more := strings.Cut(p.rest, "\n")
	p.rest = p.rest[len(line):]
	if more {
		p.skip(1)
	}
	return line
}

// entry reads a line, or more where a quoted value continues.
func (p *parser) entry() {
	line, _, _ := strings.Cut(p.rest, "\n")
	if blank(line) {
		p.endLine()
		return
	}
	v := Variable{Line: p.line}
	name, _, assigned := strings.Cut(line, "=")
	v.Name = strings.Trim(name, " \t")
	if word, after, spaced := strings.Cut(v.Name, " "); spaced && word == "export" {
		v.Name = strings.Trim(after, " \t")
	}
	switch {
	case !assigned:
		p.report(v.Line, "the line is not NAME=VALUE", "write NAME=VALUE; the value of a variable of bottled itself is env: {NAME: {env: NAME}} in the manifest")
		p.endLine()
		return
	case !scalar.EnvNamePattern.Matches(v.Name) || scalar.SecretKind(v.Name) != "":
		p.report(v.Line, "what stands before = is not the name of an environment variable", "use letters, digits and underscores, at most 120")
		p.endLine()
		return
	}
	p.skip(len(name) + 1)
	p.skip(len(p.rest) - len(strings.TrimLeft(p.rest, " \t")))
	value, ok := p.value()
	if !ok {
		return
	}
	v.Value = value
	p.add(v)
}

func (p *parser) add(v Variable) {
	if first, again := p.lines[v.Name]; again {
		p.report(v.Line, fmt.Sprintf("%s is given twice, first in line %d", v.Name, first), "remove one of them")
		return
	}
	p.lines[v.Name] = v.Line
	if f := scalar.CheckText(v.Value); f != nil {
		p.report(v.Line, v.Name+": "+f.Reason, f.Fix)
		return
	}
	p.variables = append(p.variables, v)
}

// blank reports whether a line, or the rest of one, says nothing.
func blank(line string) bool {
	line = strings.Trim(line, " \t")
	return line == "" || line[0] == '#'
}

// value reads what stands behind the equals sign, and the rest of the line.
func (p *parser) value() (string, bool) {
	if p.rest != "" && (p.rest[0] == '"' || p.rest[0] == '\'') {
		return p.quoted(p.rest[0])
	}
	line := p.line
	text := p.endLine()
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	if strings.Contains(text, "$") {
		p.report(line, variableReason, variableFix)
		return "", false
	}
	return strings.TrimRight(text, " \t"), true
}

const (
	variableReason = "the value has a $, and variables are not expanded"
	variableFix    = "put the value in single quotes if it is meant literally, or write it out"
)

// escapes are what may follow a backslash between double quotes.
var escapes = map[byte]string{'n': "\n", 'r': "\r", 't': "\t", '\\': `\`, '"': `"`, '$': "$"}

// quoted reads a value in quotes, and the rest of its last line. Between single quotes only \' is special.
func (p *parser) quoted(quote byte) (string, bool) {
	var value strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c, after := p.rest[i], p.rest[i+1:]
		switch {
		case c == quote:
			return value.String(), p.closeQuote(i)
		case c == '\\' && quote == '\'' && strings.HasPrefix(after, "'"):
			value.WriteByte('\'')
			i++
		case c == '\\' && quote == '"':
			if after == "" || escapes[after[0]] == "" {
				return "", p.stop(i, `a backslash between double quotes is followed by something else than n, r, t, \, " or $`, `write \\ for a backslash, or use single quotes`)
			}
			value.WriteString(escapes[after[0]])
			i++
		case c == '$' && quote == '"':
			return "", p.stop(i, variableReason, variableFix)
		default:
			value.WriteByte(c)
		}
	}
	return "", p.stop(0, "the quote is not closed", "close it with "+string(quote))
}

// closeQuote drops a value up to its closing quote, and the rest of that line.
func (p *parser) closeQuote(at int) bool {
	p.skip(at + 1)
	line := p.line
	if blank(p.endLine()) {
		return true
	}
	p.report(line, "something follows the closing quote", "put the whole value in one pair of quotes")
	return false
}

// stop reports a problem within a quoted value, and ends the file: where the value ends is not clear.
func (p *parser) stop(at int, reason, fix string) bool {
	p.skip(at)
	p.report(p.line, reason, fix)
	p.rest = ""
	return false
}
