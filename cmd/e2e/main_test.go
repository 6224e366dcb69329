package e2e

import (
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }
