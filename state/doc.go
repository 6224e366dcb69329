// Package state is the model of a bottle's desired and observed state: components, containers, networks, files, names,
// labels, the subnet plan and the settings of a controller. It is pure data: no input or output, no clock, and no
// engine.
//
// The packages below it produce the data and compare it, in this order: resolve reads what manifests refer to, render
// turns manifests into a [Bottle], observe takes a snapshot of the engine, and package reconciler/plan compares the
// two. Package engine is the port to the container engine. Package store persists what must survive the process.
//
// Package state imports the manifests, and of its own subpackages only seccomp. It must not import an engine or the
// reconciler.
package state
