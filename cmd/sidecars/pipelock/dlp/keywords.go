package dlp

// keywords finds a set of words in one pass, ignoring case: an Aho-Corasick automaton as a table. gitleaks prefilters with one, too, by a
// library that allocates an object for each match.
// Separators between the letters of a word are skipped: see kindOf.
type keywords struct {
	words []string
	class [256]uint32 // of a byte; 0 is for those that end every word
	next  []uint32    // by row and class: the row of the next state, and whether words end there
	ends  [][]int     // by state: the words that end there
	width uint32      // of a row
}

// wordEnds marks an entry of next in whose state a word ends.
const wordEnds = 1 << 31

// Classes of bytes that no word has.
const (
	classOther = iota
	classSkipped
	classesBefore // those of the words' own bytes
)

// newKeywords takes the words in lower case.
func newKeywords(words []string) *keywords {
	k := &keywords{words: words, width: classesBefore}
	for c := range k.class {
		if separates(byte(c)) {
			k.class[c] = classSkipped
		}
	}
	for _, word := range words {
		k.classify(word)
	}
	k.build(words)
	return k
}

func (k *keywords) classify(word string) {
	for _, c := range []byte(word) {
		if k.class[c] >= classesBefore {
			continue
		}
		k.class[c] = k.width
		if 'a' <= c && c <= 'z' {
			k.class[c-'a'+'A'] = k.width
		}
		k.width++
	}
}

// skips reports whether a state stays what it is at a byte of a class, unless a word goes on with it.
func (k *keywords) skips(class int) bool {
	if class == classSkipped {
		return true
	}
	for c, of := range k.class {
		if int(of) == class {
			return separates(byte(c))
		}
	}
	return false
}

// build makes the trie of the words, and then adds, breadth first, the transitions of each state for bytes that are not in the trie: those
// of its longest proper suffix.
func (k *keywords) build(words []string) {
	tree := [][]uint32{make([]uint32, k.width)} // 0 is no child: nothing leads back to the root
	k.ends = [][]int{nil}
	for i, word := range words {
		state := uint32(0)
		for _, c := range []byte(word) {
			child := &tree[state][k.class[c]]
			if *child == 0 {
				*child = uint32(len(tree)) //nolint:gosec // all words have some thousand letters
				tree = append(tree, make([]uint32, k.width))
				k.ends = append(k.ends, nil)
			}
			state = tree[state][k.class[c]]
		}
		k.ends[state] = append(k.ends[state], i)
	}
	suffix := make([]uint32, len(tree))
	for queue := []uint32{0}; len(queue) > 0; queue = queue[1:] {
		state := queue[0]
		k.ends[state] = append(k.ends[state], k.ends[suffix[state]]...)
		for c, child := range tree[state] {
			onSuffix := uint32(0)
			if state != 0 {
				onSuffix = tree[suffix[state]][c]
			}
			if child == 0 {
				tree[state][c] = onSuffix
				continue
			}
			suffix[child] = onSuffix
			queue = append(queue, child)
		}
	}
	k.skip(tree)
	k.flatten(tree)
}

// skip has each state stay at a separator with which no word goes on.
func (k *keywords) skip(tree [][]uint32) {
	for class := range int(k.width) {
		if !k.skips(class) {
			continue
		}
		for state := range tree {
			if tree[state][class] == 0 {
				tree[state][class] = uint32(state)
			}
		}
	}
}

func (k *keywords) flatten(tree [][]uint32) {
	k.next = make([]uint32, 0, len(tree)*int(k.width))
	for from, row := range tree {
		for c, state := range row {
			entry := state * k.width
			if len(k.ends[state]) > 0 && (int(state) != from || !k.skips(c)) {
				entry |= wordEnds
			}
			k.next = append(k.next, entry)
		}
	}
}

// each calls found with the number of every word in text and the offset behind it, until that returns false.
func (k *keywords) each(text []byte, found func(word, end int) bool) {
	row := uint32(0)
	for i, c := range text {
		entry := k.next[row+k.class[c]]
		row = entry &^ wordEnds
		if entry == row {
			continue
		}
		for _, word := range k.ends[row/k.width] {
			if !found(word, i+1) {
				return
			}
		}
	}
}

// start is where the word that ends at an offset of text begins.
func (k *keywords) start(text []byte, word, end int) int {
	left := k.words[word]
	for end > 0 && left != "" {
		end--
		if lower(text[end]) == left[len(left)-1] {
			left = left[:len(left)-1]
		}
	}
	return end
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c - 'A' + 'a'
	}
	return c
}
