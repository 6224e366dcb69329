// Package terminal is everything that bottled prints for people, and its side of a session in a container. Names and texts from
// files, the engine and containers may be hostile: a [Console] escapes them at the only way out.
package terminal
