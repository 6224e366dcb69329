package printable

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"sigs.k8s.io/yaml"
)

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü 世 é שלום":              "plain ü 世 é שלום",
		"two\nlines\r\n\tindent":        `two\nlines\r\n\tindent`,
		"\x1b]0;title\a\x1b[2J":         `\x1b]0;title\a\x1b[2J`,
		"\u009b31m \u202eabc":           `\u009b31m \u202eabc`,
		"\xff\xc3":                      `\xff\xc3`,
		"a\u200bb\u00a0c\u2028d":        `a\u200bb\u00a0c\u2028d`,
		"x\ufe0f\U000e0041\u3164\u2800": `x\ufe0f\U000e0041\u3164\u2800`,
		"\ufffd stays":                  "\ufffd stays",
	} {
		got := Line(text)
		if got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
		if again := Line(got); again != got {
			t.Errorf("%q changes again, to %q", got, again)
		}
	}
}

// TestInvisibleCharactersAreRefusedAsAClass goes through all of Unicode: what is Default_Ignorable_Code_Point, a space, a control
// or format character is never safe, and letters, digits and combining marks of the scripts in use are.
func TestInvisibleCharactersAreRefusedAsAClass(t *testing.T) {
	ignorable := func(r rune) bool { // DerivedCoreProperties.txt
		return unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Cf, unicode.Variation_Selector)
	}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		hidden := r != ' ' && (ignorable(r) || unicode.IsSpace(r) || unicode.In(r, unicode.C, unicode.Z))
		if hidden && Safe(r) {
			t.Errorf("%U counts as safe", r)
		}
		if Line(string(r)) == "" {
			t.Errorf("%U shows nothing", r)
		}
	}
	for _, r := range []rune{
		0xfe00, 0xfe0f, 0xe0100, 0xe01ef, 0x3164, 0x115f, 0x1160, 0xffa0, 0x2800, 0x034f, 0x17b4, 0x180e,
		0x200b, 0x200c, 0x200d, 0x2060, 0x2066, 0x202e, 0xfeff, 0xe0001, 0xe0041, 0xad, 0x61c, 0x1d159, 0x3000, 0xe000, 0x9b,
	} {
		if Safe(r) || Check(string(r)) == nil {
			t.Errorf("%U is accepted", r)
		}
	}
	for _, text := range []string{
		"résumé", "re\u0301sume\u0301", "日本語、한국어", "עברית", "العربية", "हिन्दी", "a → b ≤ c", "😀", "line\r\nline\n\ttab",
	} {
		if err := Check(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestBlockLetsNoLinePassForAnother(t *testing.T) {
	got, want := Block("open a\nbottled: all is well\r\n    quoted\x1b[2J"), "open a\n  bottled: all is well\n    quoted\\x1b[2J"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func FuzzMachineOutputStaysExact(f *testing.F) {
	f.Add("a\u009b\u202e\U000e0041\x7f\"\\ü")
	f.Fuzz(func(t *testing.T, text string) {
		text = strings.ToValidUTF8(text, "?")
		data, err := json.Marshal(map[string]string{"k": text})
		if err != nil {
			t.Fatal(err)
		}
		var fromJSON, fromYAML map[string]string
		if err := json.Unmarshal(JSON(data), &fromJSON); err != nil || fromJSON["k"] != text {
			t.Errorf("JSON %q: %q, %v", JSON(data), fromJSON["k"], err)
		}
		if err := yaml.Unmarshal(YAML(data), &fromYAML); err != nil || fromYAML["k"] != text {
			t.Errorf("YAML %q: %q, %v", YAML(data), fromYAML["k"], err)
		}
		if !IsSafe(JSON(data)) || !IsSafe(YAML(data)) {
			t.Errorf("%q, %q", JSON(data), YAML(data))
		}
	})
}
