// Package harness lets tests run the real bottled against a real Docker engine. Everything a test makes
// bears an owner label of its own, and goes with the test, also when the test fails or its process is killed;
// nothing else on the engine is touched.
package harness
