package main

import (
	"testing"

	"github.com/bot-bottle/bottled/reconciler/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }
