// Package resolve reads what a manifest refers to but does not contain: tokens, the CA bundle, the sources of mounts,
// the agent's environment, and the build context. It does so once a pass and outside every lock, since a file system may hang, and refuses paths
// that an agent can write to. Package render takes the result as [Inputs] and reads nothing itself.
package resolve
