package manifests

import "github.com/bot-bottle/bottled/manifests/scalar"

const (
	namePattern       scalar.Pattern = `^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`
	labelKeyPattern   scalar.Pattern = `^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`
	labelValuePattern scalar.Pattern = `^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`
	cidrPattern       scalar.Pattern = `^[0-9A-Fa-f.:]+/[0-9]{1,3}$`
	dockerfilePattern scalar.Pattern = `^[^/]`
	targetPattern     scalar.Pattern = `^/[^/]`
	legacyKeyPattern  scalar.Pattern = `^[a-z]{1,20}(_[a-z]{1,20}){0,3}$`
	plainTextPattern  scalar.Pattern = `^[A-Za-z/]([A-Za-z0-9._/:@+-]*[A-Za-z0-9._/@+-])?$`
	runtimePattern    scalar.Pattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`
)

func isName(text string) bool { return namePattern.Matches(text) }
