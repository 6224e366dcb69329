// Command bottled-demo is what the demo and the tests on a real engine run beside bottled: a tiny agent, the clients that an agent
// would use, and an API to talk to.
package main
