// Command bottled-demo is everything that the demo and the tests on a real engine need besides bottled: a tiny agent, the
// clients that an agent would use, an API to talk to, and the demo itself.
package main
