// Package service is what bottled does, apart from how it is asked and shown: connecting to an engine, reading manifests, passes,
// the controller, and sessions. The commands call it. It returns data and prints nothing but log lines.
package service
