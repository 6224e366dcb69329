package dlp

// keywords finds any of a set of words in one pass, whatever their case: the automaton of Aho and Corasick
// (1975) as a table. gitleaks prefilters with the same, a library that makes an object of every match.
type keywords struct {
	lengths []int       // of the words
	class   [256]uint32 // of a byte; 0 is for those in no word
	next    []uint32    // by row and class: the row of the next state, and whether words end there
	ends    [][]int     // by state: the words that end there
	width   uint32      // of a row
}

// wordEnds marks an entry of next in whose state a word ends.
const wordEnds = 1 << 31

// newKeywords takes the words in lower case.
func newKeywords(words []string) *keywords {
	k := &keywords{width: 1}
	for _, word := range words {
		k.lengths = append(k.lengths, len(word))
		k.classify(word)
	}
	k.build(words)
	return k
}

func (k *keywords) classify(word string) {
	for _, c := range []byte(word) {
		if k.class[c] != 0 {
			continue
		}
		k.class[c] = k.width
		if 'a' <= c && c <= 'z' {
			k.class[c-'a'+'A'] = k.width
		}
		k.width++
	}
}

// build makes the tree of the words, and then fills in, breadth first, where to go on from each state
// when the next byte isn't in the tree: where the longest proper suffix goes.
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
	k.flatten(tree)
}

func (k *keywords) flatten(tree [][]uint32) {
	k.next = make([]uint32, 0, len(tree)*int(k.width))
	for _, row := range tree {
		for _, state := range row {
			entry := state * k.width
			if len(k.ends[state]) > 0 {
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
