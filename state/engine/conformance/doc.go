// Package conformance is the test suite that every implementation of engine.Engine must pass. It runs on package fake
// in every test run, and on a real Docker engine where there is one, so that tests on the fake prove something about
// the real engine.
package conformance
