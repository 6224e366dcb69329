package envfile

import (
	"fmt"
	"strings"
	"testing"
)

// read writes what a file says, one variable or problem a line.
func read(text string) string {
	variables, problems := Parse([]byte(text))
	var said []string
	for _, v := range variables {
		said = append(said, fmt.Sprintf("%d %s=%q", v.Line, v.Name, v.Value))
	}
	for _, p := range problems {
		said = append(said, "! "+p.Error())
	}
	return strings.Join(said, "\n")
}

// TestParse reads what Compose's documentation of .env files shows, and what people write.
func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"# a comment\n\n \t\n  # another": "",
		"A=b":                             `1 A="b"`,
		"A=b\nC=d\n":                      "1 A=\"b\"\n2 C=\"d\"",
		"A=b\r\nC=d\r\n":                  "1 A=\"b\"\n2 C=\"d\"",
		"\ufeffA=b":                       `1 A="b"`,
		"A=":                              `1 A=""`,
		"A=\nB=c":                         "1 A=\"\"\n2 B=\"c\"",
		"export A=b":                      `1 A="b"`,
		"export \t A = b":                 `1 A="b"`,
		" A =\tb c \t":                    `1 A="b c"`,
		"A=b=c":                           `1 A="b=c"`,
		"A=b # c":                         `1 A="b"`,
		"A=b#c":                           `1 A="b#c"`,
		"A=# c":                           `1 A=""`,
		"A=b \"c\" 'd'":                   `1 A="b \"c\" 'd'"`,
		`A=b\n`:                           `1 A="b\\n"`,
		`A="b c" # d`:                     `1 A="b c"`,
		`A="b # c"`:                       `1 A="b # c"`,
		`A="b\n\r\t\\\"\$c"`:              `1 A="b\n\r\t\\\"$c"`,
		`A='b\n$X "c"'`:                   `1 A="b\\n$X \"c\""`,
		`A='Let\'s go'`:                   `1 A="Let's go"`,
		"A=\"b\nc\"\nD=e":                 "1 A=\"b\\nc\"\n3 D=\"e\"",
		"A='b\n\n# c'\n\nD=e":             "1 A=\"b\\n\\n# c\"\n5 D=\"e\"",
		"A=b\n\n# x\nC=d":                 "1 A=\"b\"\n4 C=\"d\"",
		"A=ü":                             `1 A="ü"`,
		"A":                               "! 1: the line is not NAME=VALUE; write NAME=VALUE; the value of a variable of bottled itself is env: {NAME: {env: NAME}} in the manifest",
		"A: b":                            "! 1: the line is not NAME=VALUE; write NAME=VALUE; the value of a variable of bottled itself is env: {NAME: {env: NAME}} in the manifest",
		"9=b":                             "! 1: what stands before = is not the name of an environment variable; use letters, digits and underscores, at most 120",
		"A B=c":                           "! 1: what stands before = is not the name of an environment variable; use letters, digits and underscores, at most 120",
		"=c":                              "! 1: what stands before = is not the name of an environment variable; use letters, digits and underscores, at most 120",
		"A=b\nC=d\nA=e":                   "1 A=\"b\"\n2 C=\"d\"\n! 3: A is given twice, first in line 1; remove one of them",
		"A=$HOME":                         "! 1: the value has a $, and variables are not expanded; put the value in single quotes if it is meant literally, or write it out",
		"A=\"b\n${C}\"\nD=e":              "! 2: the value has a $, and variables are not expanded; put the value in single quotes if it is meant literally, or write it out",
		`A="b`:                            `! 1: the quote is not closed; close it with "`,
		"\nA='b\nc\n":                     "! 2: the quote is not closed; close it with '",
		`A="b"c`:                          "! 1: something follows the closing quote; put the whole value in one pair of quotes",
		"A=\"b\n\" c\nD=e":                "3 D=\"e\"\n! 2: something follows the closing quote; put the whole value in one pair of quotes",
		`A="\x41"`:                        `! 1: a backslash between double quotes is followed by something else than n, r, t, \, " or $; write \\ for a backslash, or use single quotes`,
		`A="b\`:                           `! 1: a backslash between double quotes is followed by something else than n, r, t, \, " or $; write \\ for a backslash, or use single quotes`,
		"A=\xff":                          "! 1: the file is not UTF-8 text; save it as UTF-8",
		"A=b\x00":                         "! 1: A: the text contains a NUL character; remove it",
	} {
		if got := read(text); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	}
}

// TestSecretsAreNotQuoted gives secrets in every place of a file: they are refused, and no message repeats them.
func TestSecretsAreNotQuoted(t *testing.T) {
	const secret = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
	for _, text := range []string{
		"A=" + secret, "A='" + secret + "'", "A=\"x\n" + secret + "\"", secret, secret + "=a", "A=\"" + secret + "\" b", "A='" + secret,
		"A=" + secret + "$B", `A="\x` + secret, "A=a\nA=" + secret,
	} {
		variables, problems := Parse([]byte(text))
		if len(problems) == 0 || strings.Contains(fmt.Sprint(problems, variables), "abcdefgh") {
			t.Errorf("%q: %v %v", text, variables, problems)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	if _, problems := Parse([]byte(strings.Repeat("no\n", 1000))); len(problems) != maxProblems {
		t.Errorf("%d problems", len(problems))
	}
}

// FuzzParse checks that whatever is read is text under usable, unique names, in lines of the file, and that quoting it yields the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"A=b\n# c\nexport D='e\nf' # g\nH=\"i\\n\"", "A", "A=$B", "A='", "\ufeff\r\n="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		variables, problems := Parse([]byte(text))
		var again strings.Builder
		last := 0
		for _, v := range variables {
			if v.Line <= last || v.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%q: variable %s in line %d", text, v.Name, v.Line)
			}
			last = v.Line
			fmt.Fprintf(&again, "%s=\"%s\"\n", v.Name, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "\n", `\n`, "\r", `\r`).Replace(v.Value))
		}
		if len(problems) > 0 {
			return
		}
		reread, problems := Parse([]byte(again.String()))
		if len(problems) > 0 || len(reread) != len(variables) {
			t.Fatalf("%q: reread %q: %v", text, again.String(), problems)
		}
		for i := range reread {
			if reread[i].Name != variables[i].Name || reread[i].Value != variables[i].Value {
				t.Fatalf("%q: %+v is reread as %+v", text, variables[i], reread[i])
			}
		}
	})
}
