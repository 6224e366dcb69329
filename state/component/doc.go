// Package component is the contract of a bottle's components. Each kind is one package below it and one line in package kinds: what
// it needs, the container and files it is made of, its port, limits and mount points, how it is reloaded and judged ready, its
// settings. The planner, the executor, the settings and the sidecars' programs read that statement and know no kind by name.
package component
