package scalar

// FieldOf is the path of a key below a field.
func FieldOf(parent, key string) string {
	switch {
	case !isPlainKey(key):
		return parent + "[" + Quote(key) + "]"
	case parent == "":
		return key
	}
	return parent + "." + key
}

func isPlainKey(key string) bool {
	for i := range len(key) {
		if !IsWordByte(key[i]) {
			return false
		}
	}
	return key != "" && SecretKind(key) == ""
}
