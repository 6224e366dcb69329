// Package reconciler defines the status of a controller and its bottles, as the API and the CLI show it. The packages
// below it do the work: pass runs the stages of one pass, plan compares and plans, execute executes a plan, collect
// records the sidecars' decisions, and control is the controller that decides when to do which.
//
// Nothing in this tree may import a command, a manifest's file format, or an implementation of the engine.
package reconciler
