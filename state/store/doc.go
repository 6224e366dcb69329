// Package store persists in the state directory what must survive the process: the lock of the controller, the records
// of declared bottles, the places that agents could write to, and the locks of sessions. All files are in directories
// that only root and this user can change (package owndir).
package store
