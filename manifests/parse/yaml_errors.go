package parse

import (
	"bytes"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// syntaxFixes say what to do about the YAML library's messages. Its messages are only passed on when
// they are listed here: others may quote the file, which may hold a secret.
var syntaxFixes = []struct{ message, fix string }{
	{"unknown anchor", "write the value out: aliases (*name) are not allowed, and text that begins with * needs quotes"},
	{"found character that cannot start any token", "indent with spaces instead of tabs, and put text that begins with @, ` or % in quotes"},
	{"found a tab character that violates indentation", "indent with spaces instead of tabs"},
	{"found a tab character where an indentation space is expected", "indent with spaces instead of tabs"},
	{"mapping values are not allowed in this context", "check the indentation, and put text that contains \": \" in quotes"},
	{"could not find expected ':'", "complete the line to \"key: value\", and check the indentation"},
	{"did not find expected key", "check the indentation, and that every quote and bracket before is closed"},
	{"did not find expected '-' indicator", "check the indentation of this list"},
	{"did not find expected ',' or ']'", "close the list before with ], and put commas between its elements"},
	{"did not find expected ',' or '}'", "close the mapping before with }, and put commas between its entries"},
	{"did not find expected node content", "put a value here, in quotes if it begins with a special character"},
	{"did not find expected <document start>", "begin the next document with a line of three dashes, and check the brackets before it"},
	{"did not find expected alphabetic or numeric character", "put text that begins with & or * in quotes"},
	{"block sequence entries are not allowed in this context", "put the list on lines of its own below its key"},
	{"mapping keys are not allowed in this context", "put text that begins with ? in quotes"},
	{"found unexpected end of stream", "close the quote that is still open"},
	{"found unexpected document indicator", "close the quote that is still open"},
	{"found unknown escape character", "write \\\\ for a backslash in double quotes, or use single quotes"},
	{"found invalid Unicode character escape code", "write the character itself"},
	{"exceeded max depth", "nest less: a manifest has fewer than ten levels"},
	{"found undefined tag handle", "remove the tag; text that begins with ! needs quotes"},
	{"found unknown directive name", "put text that begins with % in quotes"},
	{"found incompatible YAML document", "remove the %YAML directive"},
	{"control characters are not allowed", "remove the control character"},
}

// syntaxProblem makes a problem of an error of the YAML library.
func syntaxProblem(f Location, data []byte, err error) Problem {
	reason, fix := "it is not YAML", "check this place with a YAML-aware editor"
	for _, known := range syntaxFixes {
		if strings.Contains(err.Error(), known.message) {
			reason, fix = reason+": "+known.message, known.fix
			break
		}
	}
	return *f.Problem(failingLine(data), 1, reason, fix)
}

// failingLine is the line at which the YAML library gives up. Its messages have no line, or that of the
// block around the place, or one too few, depending on the kind. So it is fed line by line, and the last
// line it asked for is the one, or the line before if that is enough for the same error.
func failingLine(data []byte) int {
	lines := &lineReader{rest: data}
	err := firstError(lines)
	before := &lineReader{rest: data, most: lines.read - 1}
	if lines.read > 1 && firstError(before).Error() == err.Error() {
		return before.read
	}
	return max(lines.read, 1)
}

// firstError is what stops the library: io.EOF at the end of good YAML.
func firstError(r io.Reader) error {
	for decoder := yaml.NewDecoder(r); ; {
		var root yaml.Node
		if err := decoder.Decode(&root); err != nil {
			return err
		}
	}
}

// lineReader gives out one line a time.
type lineReader struct {
	rest   []byte
	most   int  // lines to give out at most, if not 0
	read   int  // lines given out, or begun
	inside bool // the last of them is not complete
}

func (r *lineReader) Read(p []byte) (int, error) {
	if !r.inside {
		if len(r.rest) == 0 || r.most > 0 && r.read == r.most {
			return 0, io.EOF
		}
		r.read++
	}
	line := r.rest
	if end := bytes.IndexByte(r.rest, '\n'); end >= 0 {
		line = r.rest[:end+1]
	}
	n := copy(p, line)
	r.rest, r.inside = r.rest[n:], n < len(line)
	return n, nil
}
