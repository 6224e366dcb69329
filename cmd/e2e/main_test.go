package e2e

import (
	"os"
	"testing"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
)

// nightly reports whether tests run in full: task test:nightly.
func nightly() bool { return os.Getenv("BOTTLED_TEST_NIGHTLY") != "" }

func TestMain(m *testing.M) { harness.Main(m) }
