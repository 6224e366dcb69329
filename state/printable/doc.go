// Package printable escapes text for display. Its author may be hostile: control characters steer a terminal,
// bidirectional controls reorder a line, and invisible characters hide a part of it.
package printable
