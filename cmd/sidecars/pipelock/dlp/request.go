package dlp

import (
	"slices"
	"strings"
)

// FindURL is Find for a request line. A secret may contain separators, be split over path segments and parameter values, or be in the host,
// in lower case.
func (d *Detector) FindURL(method, target string) string {
	texts := [][]byte{[]byte(method + " " + target)}
	path, query, _ := strings.Cut(target, "?")
	if segments := strings.Split(path, "/"); len(segments) > 2 {
		texts = append(texts, parts(segments)...)
	}
	if query != "" {
		names, values := parameters(query)
		texts = append(texts, parts(names)...)
		// Others may stand between the parts.
		for step := 1; step <= 3; step++ {
			for from := range step {
				texts = append(texts, parts(every(values, from, step))...)
			}
		}
	}
	return d.findAny(texts)
}

// FindHeader is Find for a header. A secret may be a name, whose case is lost, or be split over values in the order of their names.
func (d *Detector) FindHeader(header map[string][]string) string {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	slices.Sort(names)
	var whole, values []string
	for _, name := range names {
		for _, value := range header[name] {
			whole = append(whole, name+": "+value)
			values = append(values, value)
		}
	}
	lowered := strings.ToLower(strings.Join(names, "\n"))
	return d.findAny(append(parts(values), lines(whole), lines(names), []byte(lowered)))
}

func (d *Detector) findAny(texts [][]byte) string {
	s := newScan(d)
	defer s.free()
	s.apart, s.letters = true, anyCase
	for _, text := range texts {
		if id, _ := s.find(text); id != "" {
			return id
		}
	}
	return ""
}

// parameters returns the names and values of a query, as they are written.
func parameters(query string) (names, values []string) {
	for parameter := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(parameter, "=")
		names = append(names, name)
		values = append(values, value)
	}
	return names, values
}

// lines puts texts together the way that what is split over them is found.
func lines(texts []string) []byte { return []byte(strings.Join(texts, "\n")) }

// parts is what is split over texts: in lines, as they are, and without percent-encoding in one, where what was
// split within a character comes together.
func parts(texts []string) [][]byte {
	var f fold
	var whole []byte
	for _, text := range texts {
		if f.run(percent, []byte(text)); f.changed {
			whole = append(whole, f.out...)
			continue
		}
		whole = append(whole, text...)
	}
	return [][]byte{lines(texts), whole}
}

func every(values []string, from, step int) (some []string) {
	for ; from < len(values); from += step {
		some = append(some, values[from])
	}
	return some
}
