// Package parse makes documents of files: YAML, JSON, and the front matter of claude-bottle's Markdown. A document knows the
// position of each of its fields, and collects the problems that are reported about them.
package parse
