// Package clients tests everyday programs (curl, git, npm, Node, pip, Python, Go, Java) in a bottle: the machine's own ones, on the
// real engine, with exactly the environment and files that a manifest gives an agent, against stand-ins for public services that
// answer as those do (command upstream). docs/reference/clients.md has the table of what is tested.
package clients
