// Package e2e tests the bottled executable on a real Docker engine: promises about Docker, the kernel and real clients. What needs
// neither is tested beside its code, on the engine in memory. Package harness starts engines, programs and attackers, and removes
// everything that a test made.
package e2e
