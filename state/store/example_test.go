package store_test

import (
	"fmt"
	"os"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/store"
)

// A bottle's record is what a later process knows of it when its manifest is gone or invalid.
func ExampleSaveRecord() {
	dir, err := os.MkdirTemp("", "bottled-example-")
	if err != nil {
		fmt.Println(err)
	}
	defer os.RemoveAll(dir)
	settings := state.Settings{StateDir: dir}

	if err := store.SaveRecord(settings, state.Bottle{Slug: "dev", Generation: 3, SpecHash: "2699149ff52d733c"}); err != nil {
		fmt.Println(err)
	}
	bottle, found, err := store.ReadRecord(settings, "dev")
	fmt.Println(found, err, bottle.Generation, bottle.SpecHash)
	_, found, err = store.ReadRecord(settings, "other")
	fmt.Println(found, err)
	// Output:
	// true <nil> 3 2699149ff52d733c
	// false <nil>
}
