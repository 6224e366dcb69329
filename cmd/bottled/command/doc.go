// Package command holds what the commands have in common. Each command is a package below: New makes its cobra command, Options
// are its flags and what it works with, and run carries it out.
package command
