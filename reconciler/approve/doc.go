// Package approve is the desk at which agents' proposals are decided.
//
// The manifests are the only truth: what is approved is written into the bottle's manifest, or into the file that the manifest refers to,
// and the controller makes the bottle so. Only then is the agent answered. A decision is on file (see journal) before anything is written,
// so that a crash at any point loses none and carries none out twice.
//
// Everything that a queue holds was written inside a bottle. A proposal is taken as it was when it was first seen: what is in its file
// later does not count. An answer that the desk did not write ends a proposal, but is nobody's decision.
package approve
