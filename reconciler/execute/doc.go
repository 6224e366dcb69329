// Package execute executes plans ([Executor]): it walks the graph of a bottle's plan, runs each step as soon as its
// prerequisites are done, waits for readiness, and gets images. Except for sessions it is the only code that changes
// the engine. It does not decide what to change: that is package plan's.
package execute
