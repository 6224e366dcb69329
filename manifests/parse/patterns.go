package parse

import "github.com/bot-bottle/bottled/manifests/scalar"

const (
	legacyKeyPattern scalar.Pattern = `^[a-z]{1,20}(_[a-z]{1,20}){0,3}$`
	plainTextPattern scalar.Pattern = `^[A-Za-z/]([A-Za-z0-9._/:@+-]*[A-Za-z0-9._/@+-])?$`
)
