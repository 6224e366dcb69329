// Package dlp finds secrets in what a bottle sends. It uses those rules of gitleaks (github.com/zricethezav/gitleaks, default configuration)
// that recognize a token by its own form: see rules.go. It scans the text as it is, without separators between characters (split.go), with
// escapes undone (fold.go), and what is base64, base32 or hexadecimal in it (runs.go), several layers deep (scan.go).
package dlp
