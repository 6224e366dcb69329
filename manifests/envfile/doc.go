// Package envfile parses env files: a line NAME=VALUE for each variable, in the syntax of Compose's .env files. It expands no
// variables, so that a file means the same wherever bottled runs, and refuses what Compose, a shell and `docker run --env-file` would
// expand.
package envfile
