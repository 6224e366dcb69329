package route

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns the form in which names of headers, query parameters and methods are compared: lower-case letters and
// digits only. Servers ignore case; CGI, PHP and many frameworks take dashes, underscores, dots, spaces and brackets for
// one another. Letters that have a plain form (full-width, circled, accented) are folded to that.
func Fold(name string) string {
	var buffer [64]byte
	folded, ok := appendFolded(buffer[:0], name)
	if !ok {
		folded, _ = appendFolded(buffer[:0], plainForm(name))
	}
	return string(folded)
}

// appendFolded appends the folded form of an ASCII name. It is not ok when the name is not ASCII.
func appendFolded(to []byte, name string) (_ []byte, ok bool) {
	ok = true
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			to = append(to, c)
		case 'A' <= c && c <= 'Z':
			to = append(to, c+'a'-'A')
		case c >= utf8.RuneSelf:
			ok = false
		}
	}
	return to, ok
}

// plainForm decomposes what Unicode has a compatibility form for and drops the marks.
func plainForm(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(name))
}

// isDisguised reports whether a name is not valid UTF-8, which lenient decoders read as something else, or has a word that
// mixes ASCII with other letters, which can be look-alikes (a Cyrillic o in token).
func isDisguised(name string) bool {
	if !utf8.ValidString(name) {
		return true
	}
	ascii, other := false, false
	for _, r := range plainForm(name) {
		switch {
		case 'a' <= r && r <= 'z':
			ascii = true
		case unicode.IsLetter(r):
			other = true
		case r < utf8.RuneSelf:
			ascii, other = false, false
		}
		if ascii && other {
			return true
		}
	}
	return false
}

// reservedHeaders can't carry a route's token: they frame the message, belong to one connection, or are set by
// cred-proxy. The names are folded.
var reservedHeaders = setOf(
	"acceptencoding", "connection", "contentencoding", "contentlength", "contenttype", "date", "expect", "host", "http2settings", "keepalive",
	"proxyauthenticate", "proxyauthenticationinfo", "proxyauthorization", "proxyconnection", "te", "trailer", "transferencoding", "upgrade",
	"useragent",
)

// IsReservedHeader reports whether a header can't carry a route's token.
func IsReservedHeader(name string) bool { return reservedHeaders[Fold(name)] }

// withheldHeaders of a client are not sent on: those that frame the message, which are made anew, and those that name another target,
// method or client than the request and the connection do. The names are folded. Further ones begin with withheldPrefixes.
var (
	withheldHeaders = setOf(
		"contentlength", "expect", "forwarded", "host", "xhost", "xhttpmethod", "xhttpmethodoverride", "xmethodoverride", "xrealip", "xrewriteurl",
	)
	withheldPrefixes = []string{"xforwarded", "xoriginal"}
)

// IsWithheldHeader reports whether a header of a client, in any spelling, is not sent on whatever its value.
func IsWithheldHeader(name string) bool {
	folded := Fold(name)
	return withheldHeaders[folded] || slices.ContainsFunc(withheldPrefixes, func(prefix string) bool { return strings.HasPrefix(folded, prefix) })
}

// IsReservedMethod reports whether a method is served on no route: tunnels go through pipelock, and the others would show
// the token. Servers differ in how they compare methods, so it is folded.
func IsReservedMethod(method string) bool {
	switch Fold(method) {
	case "connect", "trace", "track":
		return true
	}
	return false
}

// IsMethod reports whether a method is one to 32 upper-case letters and inner dashes, like GET or VERSION-CONTROL.
// Methods are case-sensitive (RFC 9110, section 9.1), but some servers fold them.
func IsMethod(method string) bool {
	if method == "" || len(method) > 32 || method[0] == '-' {
		return false
	}
	for i := range len(method) {
		if c := method[i]; (c < 'A' || c > 'Z') && c != '-' {
			return false
		}
	}
	return true
}

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}
