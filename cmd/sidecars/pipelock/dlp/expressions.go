package dlp

import (
	"regexp/syntax"
	"slices"
)

// byteSet is a set of bytes.
type byteSet [4]uint64

func (s *byteSet) has(c byte) bool { return s[c>>6]&(1<<(c&63)) != 0 }

func (s *byteSet) add(c byte) { s[c>>6] |= 1 << (c & 63) }

// addCases adds a letter in both cases.
func (s *byteSet) addCases() {
	for c := byte('a'); c <= 'z'; c++ {
		if upper := c ^ 0x20; s.has(c) || s.has(upper) {
			s.add(c)
			s.add(upper)
		}
	}
}

func (s *byteSet) union(other byteSet) {
	for i := range s {
		s[i] |= other[i]
	}
}

// beginningBytes bounds what begins returns.
const beginningBytes = 12

// begins returns which bytes a match has at its first places, literals in any case. fixed says that this is all of it.
func begins(re *syntax.Regexp) (sets []byteSet, fixed bool) {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpWordBoundary, syntax.OpBeginText:
		return nil, true
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			set := runes(c, c)
			set.addCases()
			sets = append(sets, set)
		}
		return sets, true
	case syntax.OpCharClass:
		return []byteSet{runes(re.Rune...)}, true
	case syntax.OpCapture:
		return begins(re.Sub[0])
	case syntax.OpConcat:
		return allBegin(re.Sub)
	case syntax.OpAlternate:
		return anyBegin(re.Sub), false
	case syntax.OpPlus:
		sets, _ = begins(re.Sub[0])
		return sets, false
	case syntax.OpRepeat:
		for range min(re.Min, beginningBytes) {
			more, fixed := begins(re.Sub[0])
			if sets = append(sets, more...); !fixed {
				return sets, false
			}
		}
		return sets, re.Min == re.Max
	default:
		return nil, false
	}
}

func allBegin(subs []*syntax.Regexp) (sets []byteSet, fixed bool) {
	for _, sub := range subs {
		more, fixed := begins(sub)
		sets = append(sets, more...)
		if !fixed || len(sets) >= beginningBytes {
			return sets[:min(len(sets), beginningBytes)], false
		}
	}
	return sets, true
}

func anyBegin(subs []*syntax.Regexp) []byteSet {
	sets, _ := begins(subs[0])
	for _, sub := range subs[1:] {
		more, _ := begins(sub)
		sets = sets[:min(len(sets), len(more))]
		for i := range sets {
			sets[i].union(more[i])
		}
	}
	return sets
}

// runes is the set of pairs of first and last characters.
func runes(pairs ...rune) (set byteSet) {
	for pair := range slices.Chunk(pairs, 2) {
		for c := pair[0]; c <= min(pair[1], 255); c++ {
			set.add(byte(c)) //nolint:gosec // 255 at most
		}
	}
	return set
}

// foldLiterals has re match its literals in any case.
func foldLiterals(re *syntax.Regexp) {
	if re.Op == syntax.OpLiteral {
		re.Flags |= syntax.FoldCase
	}
	for _, sub := range re.Sub {
		foldLiterals(sub)
	}
}

// foldClasses has re match its classes of characters in any case.
func foldClasses(re *syntax.Regexp) {
	if re.Op == syntax.OpCharClass {
		for i, n := 0, len(re.Rune); i < n; i += 2 {
			for _, letters := range []rune{'A', 'a'} {
				if low, high := max(re.Rune[i], letters), min(re.Rune[i+1], letters+25); low <= high {
					re.Rune = append(re.Rune, low^0x20, high^0x20)
				}
			}
		}
	}
	for _, sub := range re.Sub {
		foldClasses(sub)
	}
}

// dropEnd takes the word boundary from the end of re.
func dropEnd(re *syntax.Regexp) {
	switch re.Op { //nolint:exhaustive // nothing else can have one at its end
	case syntax.OpCapture:
		dropEnd(re.Sub[0])
	case syntax.OpConcat:
		last := len(re.Sub) - 1
		for ; last > 0 && re.Sub[last].Op == syntax.OpWordBoundary; last-- {
			re.Sub = re.Sub[:last]
		}
		dropEnd(re.Sub[last])
	}
}
