// Command attacker tries, from inside a container, what a bottle must not allow. It prints what came of each attempt as
// a line of JSON, and fails when it could not even try. Tests run it in agents, in sidecars, and in an ordinary
// container, where the same attempts must succeed.
package main
