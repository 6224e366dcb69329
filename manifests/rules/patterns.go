package rules

import "github.com/bot-bottle/bottled/manifests/scalar"

const (
	labelKeyPattern   scalar.Pattern = `^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	labelValuePattern scalar.Pattern = `^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`
	cidrPattern       scalar.Pattern = `^[0-9A-Fa-f.:]+/[0-9]{1,3}$`
	dockerfilePattern scalar.Pattern = `^[^/]`
	targetPattern     scalar.Pattern = `^/[^/]`
	// hostAddressPattern is an IPv4 address, or an IPv6 address in brackets, and a port.
	hostAddressPattern scalar.Pattern = `^([0-9.]{7,15}|\[[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,15})?\]):[1-9][0-9]{0,4}$`
	runtimePattern     scalar.Pattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`
)
