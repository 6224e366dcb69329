// Package owndir reads and writes files in directories of bottled's own: locks, records, sockets, tokens. Only root and
// this user may be able to change such a directory or anything on the way to it; otherwise somebody could replace a
// file or redirect a path.
package owndir
