package dlp

import (
	"bytes"
	"unicode/utf8"
)

// fold undoes the ways in which one character is written as some others, one kind at a time: what one encoding has around
// another would be taken apart too early otherwise.
type fold struct {
	out      []byte
	changed  bool // out is another text
	material bool // by more than quotes and control characters
}

// foldKind is what a fold undoes.
type foldKind struct {
	mark    byte       // where there may be something; 0: at each of special
	special *[256]bool // bytes
	// read reads the special character that text begins with. size is how much of text c stands for. Zero and less is
	// how much to leave as it is.
	read func(text []byte) (c, size int)
}

var (
	// unseen leaves out what is not seen and makes characters ASCII that only look like it. UTF-16 becomes ASCII, too.
	unseen = &foldKind{special: &unseenBytes, read: readUnseen}
	// The others do at once with what was escaped many times over.
	percent = &foldKind{mark: '%', read: percentEscape}
	xml     = &foldKind{mark: '&', read: entity}
	// backslashes are the escapes of JSON, C, Go, JavaScript, Python and shells.
	backslashes = &foldKind{mark: '\\', read: backslash}
	quoted      = &foldKind{mark: '=', read: quotedPrintable}
)

// next is the offset in text of the next byte to read at, from one on.
func (k *foldKind) next(text []byte, from int) int {
	if k.mark != 0 {
		if at := bytes.IndexByte(text[from:], k.mark); at >= 0 {
			return from + at
		}
		return len(text)
	}
	for from < len(text) && !k.special[text[from]] {
		from++
	}
	return from
}

// run folds text into out. What it leaves there holds until the next run.
func (f *fold) run(kind *foldKind, text []byte) {
	f.out, f.changed, f.material = f.out[:0], false, false
	kept := 0 // up to which text is in out
	for i := kind.next(text, 0); i < len(text); i = kind.next(text, i) {
		c, size := kind.read(text[i:])
		if size <= 0 {
			i += max(1, -size)
			continue
		}
		f.out = append(f.out, text[kept:i]...)
		if c >= 0 {
			f.out = append(f.out, byte(c)) //nolint:gosec // 255 at most
		}
		f.changed = true
		f.material = f.material || c == none || c >= ' ' && c != '"'
		i += size
		kept = i
	}
	if f.changed {
		f.out = append(f.out, text[kept:]...)
	}
}

const none = -1 // the escape stands for no character

// percentEscape reads %41, %2541, %252541 and %u0041.
func percentEscape(text []byte) (c, size int) {
	at := 1
	for at+1 < len(text) && text[at] == '2' && text[at+1] == '5' {
		at += 2
	}
	if c, ok := hexNumber(text[at:], 2); ok {
		return c, at + 2
	}
	if at < len(text) && lower(text[at]) == 'u' {
		if c, ok := hexNumber(text[at+1:], 4); ok {
			return escaped(rune(c)), at + 5 //nolint:gosec // 4 digits
		}
	}
	if at > 1 {
		return '%', at
	}
	return 0, 0
}

// backslash reads an escape behind any number of backslashes.
func backslash(text []byte) (c, size int) {
	at := 1
	for at < len(text) && text[at] == '\\' {
		at++
	}
	if at == len(text) {
		return 0, -at
	}
	switch text[at] {
	case 'n', 'r', 't', '\n', '\r':
		return '\n', at + 1
	case '"', '\'', '/':
		return int(text[at]), at + 1
	case 'x':
		if c, ok := hexNumber(text[at+1:], 2); ok {
			return c, at + 3
		}
	case 'u', 'U':
		if c, size := unicodeEscape(text, at+1); size > 0 {
			return c, size
		}
	}
	if octal := text[at:]; len(octal) > 2 && isOctal(octal[0]) && isOctal(octal[1]) && isOctal(octal[2]) && octal[0] < '4' {
		return int(octal[0]-'0')<<6 | int(octal[1]-'0')<<3 | int(octal[2]-'0'), at + 3
	}
	return 0, -at
}

func isOctal(c byte) bool { return '0' <= c && c <= '7' }

// unicodeEscape reads 0041, {41} and 00000041, at an offset of text.
func unicodeEscape(text []byte, at int) (c, size int) {
	if at < len(text) && text[at] == '{' {
		for digits := 1; digits <= 6; digits++ {
			end := at + 1 + digits
			if c, ok := hexNumber(text[at+1:], digits); ok && end < len(text) && text[end] == '}' {
				return escaped(rune(c)), end + 1 //nolint:gosec // 6 digits at most
			}
		}
		return 0, 0
	}
	if text[at-1] == 'U' {
		if c, ok := hexNumber(text[at:], 8); ok {
			return escaped(rune(c)), at + 8 //nolint:gosec // a rune that is none is no ASCII
		}
	}
	if c, ok := hexNumber(text[at:], 4); ok {
		return escaped(rune(c)), at + 4 //nolint:gosec // 4 digits
	}
	return 0, 0
}

// entity reads &#65; and &#x41; and &amp;
func entity(text []byte) (c, size int) {
	const longest = 12
	end := bytes.IndexByte(text[:min(len(text), longest)], ';')
	if bytes.HasPrefix(text, []byte("&amp;")) {
		return '&', end + 1
	}
	if end < 3 || text[1] != '#' {
		return 0, 0
	}
	digits, base := text[2:end], 10
	if lower(digits[0]) == 'x' {
		digits, base = digits[1:], 16
	}
	for _, d := range digits {
		if int(hexValue[d]) >= base {
			return 0, 0
		}
		c = c*base + int(hexValue[d])
	}
	return escaped(rune(c)), end + 1
}

// escaped is what an escaped character becomes: itself or a byte that is no character, which parts words.
func escaped(r rune) int {
	if c := ascii(r); c != none || ignorable(r) {
		return c
	}
	return 0xff
}

// quotedPrintable reads =41 and a line break that is none.
func quotedPrintable(text []byte) (c, size int) {
	for _, br := range []string{"=\r\n", "=\n"} {
		if bytes.HasPrefix(text, []byte(br)) {
			return none, len(br)
		}
	}
	if c, ok := hexNumber(text[1:], 2); ok {
		return c, 3
	}
	return 0, 0
}

// readUnseen reads a control character or one beyond ASCII.
func readUnseen(text []byte) (c, size int) {
	if text[0] < utf8.RuneSelf {
		return none, 1
	}
	if len(text) < 2 || utf8.RuneStart(text[1]) {
		return 0, 0
	}
	r, n := utf8.DecodeRune(text)
	if c = ascii(r); c == none && !ignorable(r) {
		return 0, -n
	}
	return c, n
}

// unseenBytes are control characters but line breaks and tabs, and the first bytes of characters that become others.
var unseenBytes = func() (set [256]bool) {
	for c := range set {
		set[c] = c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f || foldable[c]
	}
	return set
}()

// foldable are the first bytes of characters that become others.
var foldable = func() (set [256]bool) {
	for r := rune(utf8.RuneSelf); r <= 0xe0fff; r++ {
		if utf8.ValidRune(r) && (ascii(r) != none || ignorable(r)) {
			set[utf8.AppendRune(nil, r)[0]] = true
		}
	}
	return set
}()

// hexNumber reads a number of digits.
func hexNumber(text []byte, digits int) (n int, ok bool) {
	if len(text) < digits {
		return 0, false
	}
	for _, d := range text[:digits] {
		if hexValue[d] > 15 {
			return 0, false
		}
		n = n<<4 | int(hexValue[d])
	}
	return n, true
}

// ignorable reports whether a character beyond ASCII is not seen, or is a mark on the one before.
func ignorable(r rune) bool {
	for _, span := range ignored {
		if r < span[0] {
			return false
		}
		if r <= span[1] {
			return true
		}
	}
	return false
}

// ignored are Unicode's Default_Ignorable_Code_Point, C1, the annotations' anchors and the general combining marks.
var ignored = [...][2]rune{
	{0x80, 0x9f},
	{0xad, 0xad},
	{0x300, 0x36f},
	{0x61c, 0x61c},
	{0x115f, 0x1160},
	{0x17b4, 0x17b5},
	{0x180b, 0x180f},
	{0x1ab0, 0x1aff},
	{0x1dc0, 0x1dff},
	{0x200b, 0x200f},
	{0x202a, 0x202e},
	{0x2060, 0x206f},
	{0x20d0, 0x20ff},
	{0x2800, 0x2800},
	{0x3164, 0x3164},
	{0xfe00, 0xfe0f},
	{0xfe20, 0xfe2f},
	{0xfeff, 0xfeff},
	{0xffa0, 0xffa0},
	{0xfff0, 0xfffb},
	{0x1bca0, 0x1bca3},
	{0x1d173, 0x1d17a},
	{0xe0000, 0xe0fff},
}
