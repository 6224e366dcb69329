// Package safepath opens paths of the host whose components an agent may have touched.
//
// A path is resolved one component at a time, on open directories, so that what is judged is what is opened. Open records
// where the resolution went (Object.Trace) as locations inside file systems, which neither symbolic links nor bind mounts
// disguise. A Set of the places that agents can write answers from such a trace whether an agent could have decided where the
// path leads.
//
// Nothing here blocks on what it finds: FIFOs, devices and sockets are opened without their driver (O_PATH) and are never
// read. Links of procfs ("magic links") are refused, since they lead where no path does.
package safepath
