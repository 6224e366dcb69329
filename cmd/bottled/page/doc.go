// Package page is the web page that the controller serves: an inbox of what agents ask for, the fleet, and one bottle. The server renders all of
// it (package overview judges, html/template writes); a small script replaces what has changed. Without the script everything can be read
// and decided.
//
// Whoever opens the page has a link that bottled web printed, once. See docs/decisions/0017-page.md for what that defends against.
package page
