package dlp

import (
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Detector knows the rules. It never changes and may be used by any number of goroutines.
type Detector struct {
	keywords *keywords
	rules    [][]*rule // by keyword
}

// New returns the one Detector of this process: reading the rules takes some milliseconds.
var New = sync.OnceValues(newDetector)

func newDetector() (*Detector, error) {
	rules, err := loadRules()
	if err != nil {
		return nil, err
	}
	defer debug.FreeOSMemory() // reading the rules takes more than they do
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

// Find returns the ID of a rule that knows a secret in text, whole or encoded, TooEncoded, or "".
func (d *Detector) Find(text []byte) string {
	s := newScan(d)
	defer s.free()
	id, _ := s.find(text)
	return id
}
