package scalar

import (
	"fmt"
	"math/big"
	"strings"
)

// The suffixes of Kubernetes quantities, as powers of ten and of two.
var (
	decimalSuffixes = map[string]int{"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
	binarySuffixes  = map[string]uint{"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
)

// Quantity returns a Kubernetes quantity times a factor, rounded up as Kubernetes does; 0 for a text that is no quantity,
// -1 when it does not fit. Kubernetes' own parser would add 800 KB to the program.
func Quantity(text string, factor int64) int64 {
	if !QuantityPattern.Matches(text) {
		return 0
	}
	end := strings.LastIndexAny(text, "0123456789") + 1
	number, suffix := text[:end], text[end:]
	value, ok := new(big.Rat).SetString(number + exponent(suffix))
	if !ok {
		return 0
	}
	value.Mul(value, new(big.Rat).SetInt64(factor))
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).Lsh(big.NewInt(1), binarySuffixes[suffix])))
	result := new(big.Int).Add(value.Num(), new(big.Int).Sub(value.Denom(), big.NewInt(1)))
	if result.Quo(result, value.Denom()); !result.IsInt64() {
		return -1
	}
	return result.Int64()
}

func exponent(suffix string) string {
	if power := decimalSuffixes[suffix]; power != 0 {
		return fmt.Sprintf("e%d", power)
	}
	return ""
}

// SuggestQuantity returns the advice about a text that is no quantity of bytes. It knows how Docker and people write them.
func SuggestQuantity(text string) string {
	number := strings.TrimRight(text, "bBiI")
	if n := len(number); n > 0 && strings.ContainsRune("kKmMgGtT", rune(number[n-1])) {
		if meant := strings.ToUpper(number) + "i"; QuantityPattern.Matches(meant) {
			return "did you mean " + Quote(meant) + "?"
		}
	}
	return "write a number and a unit, like 512Mi or 2Gi"
}
