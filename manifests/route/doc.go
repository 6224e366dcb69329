// Package route is the one model of cred-proxy's routes: their types, the rules that they obey, the names of credentials,
// and the JSON of routes.json, which the controller writes, cred-proxy reads and agents propose. It is pure: it reads no
// file and knows no token.
package route
