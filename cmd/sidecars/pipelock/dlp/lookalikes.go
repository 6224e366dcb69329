package dlp

// ascii returns the ASCII character that r is, or looks like, or none.
func ascii(r rune) int {
	switch {
	case r < 0x80:
		return int(r)
	case 0xff01 <= r && r <= 0xff5e: // full width
		return int(r - 0xff01 + '!')
	case 0x1d400 <= r && r <= 0x1d6a3: // mathematical: bold, italic, script and so on
		return letter((r - 0x1d400) % 52)
	case 0x1d7ce <= r && r <= 0x1d7ff:
		return int((r-0x1d7ce)%10 + '0')
	case 0x24b6 <= r && r <= 0x24e9: // in circles
		return letter(r - 0x24b6)
	case 0x2460 <= r && r <= 0x2468:
		return int(r - 0x2460 + '1')
	case 0x249c <= r && r <= 0x24b5: // in parentheses
		return int(r - 0x249c + 'a')
	case 0x1f130 <= r && r <= 0x1f149, 0x1f150 <= r && r <= 0x1f169, 0x1f170 <= r && r <= 0x1f189: // in squares and circles
		return int((r-0x1f130)%0x20 + 'A')
	case 0x1f1e6 <= r && r <= 0x1f1ff: // of flags
		return int(r - 0x1f1e6 + 'A')
	case 0x2070 <= r && r <= 0x2079 && r != 0x2071: // raised and lowered digits
		return int(r - 0x2070 + '0')
	case 0x2080 <= r && r <= 0x2089:
		return int(r - 0x2080 + '0')
	case 0x2010 <= r && r <= 0x2015, r == 0x2212:
		return '-'
	}
	if low := r - lookalikesFrom; 0 <= low && int(low) < len(lookalikes) && lookalikes[low] != 0 {
		return int(lookalikes[low])
	}
	return none
}

func letter(n rune) int {
	if n < 26 {
		return int('A' + n)
	}
	return int('a' + n - 26)
}

// lookalikesFrom is the first character of Greek, before Cyrillic and Armenian.
const lookalikesFrom = 0x370

// lookalikes are letters that are drawn like Latin ones.
var lookalikes = func() (all [0x590 - lookalikesFrom]byte) {
	for latin, others := range map[byte]string{
		'A': "АΑ", 'B': "ВΒ", 'C': "СϹ", 'E': "ЕΕ", 'F': "Ϝ", 'G': "Ԍ", 'H': "НΗ", 'I': "ІΙӀ", 'J': "ЈͿ", 'K': "КΚ",
		'M': "МΜ", 'N': "Ν", 'O': "ОΟՕ", 'P': "РΡ", 'Q': "Ԛ", 'S': "ЅՏ", 'T': "ТΤ", 'V': "Ѵ", 'W': "Ԝ", 'X': "ХΧ",
		'Y': "ҮΥ", 'Z': "Ζ",
		'a': "аα", 'b': "Ь", 'c': "сϲ", 'd': "ԁ", 'e': "е", 'g': "ց", 'h': "һհ", 'i': "іι", 'j': "јϳ", 'k': "кκ",
		'l': "ӏ", 'n': "ո", 'o': "оοօ", 'p': "рρ", 'q': "ԛ", 's': "ѕ", 'u': "ս", 'v': "ѵν", 'w': "ԝ", 'x': "хχ", 'y': "у",
	} {
		for _, r := range others {
			all[r-lookalikesFrom] = latin
		}
	}
	return all
}()
