package clients

import "slices"

// rows is the table.
func rows() []row {
	return slices.Concat(curlRows, gitRows, nodeRows, pythonRows, goRows, cargoRows, javaRows)
}

// refusal is how pipelock says in its status line that a host is not allowed.
const refusal = "Blocked by sandbox policy: domain not in allowlist: other.example"
