// Package dlp finds secrets in what a bottle sends. What a secret looks like is gitleaks' rule set
// (github.com/zricethezav/gitleaks, its default configuration), of which it takes the rules that know a
// token by its own form: see rules.go. It looks at the text as it is, with what separates characters left out
// (split.go), with escapes undone (fold.go), and at what is base64, base32 or hexadecimal in it (runs.go), some
// layers deep (scan.go).
package dlp
