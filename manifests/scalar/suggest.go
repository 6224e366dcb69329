package scalar

import "strings"

// Closest returns the word among known that was probably meant; "" when none is close. Case, dashes and
// underscores make no difference.
func Closest(word string, known []string) string {
	best, bestDistance := "", 1+max(1, len(word)/3)
	if len(word) > 64 {
		return ""
	}
	for _, candidate := range known {
		if distance := editDistance(fold(word), fold(candidate)); distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

func fold(word string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word))
}

// editDistance counts the letters to insert, remove, replace or swap with the next one to make b of a.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// SuggestOneOf returns the advice about a value that is none of the known ones: the one that was probably meant, or all.
func SuggestOneOf(value string, known []string) string {
	if meant := Closest(value, known); meant != "" {
		return "did you mean " + meant + "?"
	}
	return "write one of " + strings.Join(known, ", ")
}
