// Package fake is an engine in memory, for tests: containers, networks, images, delivered files and events with the
// rules and the delays of Docker 20.10, such as events that come before the listings show the change. It keeps time
// with package time only, so its clock is virtual inside a testing/synctest bubble.
//
// [engine.Intercept] injects faults; [Hands] acts as other people and the kernel do. Package conformance checks it
// against the real engine.
package fake
