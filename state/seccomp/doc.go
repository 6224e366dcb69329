// Package seccomp provides the seccomp profile of all containers: Docker's default profile, as of the module's version,
// minus socketcall. It applies on every engine: the defaults of old ones allow more (on Docker 20.10 io_uring, and
// AF_VSOCK sockets to the hypervisor), and an engine may be configured to use none.
package seccomp
