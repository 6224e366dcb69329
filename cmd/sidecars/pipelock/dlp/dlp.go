package dlp

import (
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Detector holds the rules. It is immutable and safe for concurrent use.
type Detector struct {
	keywords *keywords
	rules    [][]*rule // by keyword
}

// New returns the Detector of this process, a singleton: parsing the rules takes some milliseconds.
var New = sync.OnceValues(newDetector)

func newDetector() (*Detector, error) {
	rules, err := loadRules()
	if err != nil {
		return nil, err
	}
	defer debug.FreeOSMemory() // parsing the rules takes more memory than they do
	byKeyword := map[string][]*rule{}
	for _, r := range rules {
		for _, k := range r.keywords {
			k = strings.ToLower(k)
			byKeyword[k] = append(byKeyword[k], r)
		}
	}
	words := slices.Sorted(maps.Keys(byKeyword))
	d := &Detector{keywords: newKeywords(words)}
	for _, word := range words {
		d.rules = append(d.rules, byKeyword[word])
	}
	return d, nil
}

// Has reports whether there is a rule with an ID.
func (d *Detector) Has(id string) bool {
	return slices.ContainsFunc(d.rules, func(rules []*rule) bool {
		return slices.ContainsFunc(rules, func(r *rule) bool { return r.id == id })
	})
}

// Without returns a detector without some of the rules.
func (d *Detector) Without(ids []string) *Detector {
	fewer := &Detector{keywords: d.keywords, rules: make([][]*rule, len(d.rules))}
	for i, rules := range d.rules {
		fewer.rules[i] = slices.DeleteFunc(slices.Clone(rules), func(r *rule) bool { return slices.Contains(ids, r.id) })
	}
	return fewer
}

// Find returns the ID of the rule that matches a secret in text, plain or encoded; TooEncoded; or "".
func (d *Detector) Find(text []byte) string {
	s := newScan(d)
	defer s.free()
	id, _ := s.find(text)
	return id
}
