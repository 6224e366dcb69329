package service

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bot-bottle/bottled/cmd/bottled/api/apitest"
	"github.com/bot-bottle/bottled/reconciler"
)

func TestAwaitOrder(t *testing.T) {
	ready := apitest.WithConditions(apitest.Bottle("a", "Ready", ""), 0, "", "")
	working := apitest.WithConditions(apitest.Bottle("a", "Ready", ""), 0, "it restarts", "")
	failing := apitest.WithConditions(apitest.Bottle("a", "Failed", "no image"), 0, "retrying", "")
	for name, test := range map[string]struct {
		then reconciler.Status // a second later
		says string
	}{
		"carried out": {then: apitest.Status(ready)},
		"failing":     {then: apitest.Status(failing), says: "the controller has the order, and has not carried it out after 10s: Failed: no image"},
		"removed":     {then: apitest.Status(), says: `there is no bottle "a"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				controller := &fakeController{}
				before := apitest.Status(working)
				controller.set(&before)
				time.AfterFunc(time.Second, func() { controller.set(&test.then) })
				began := time.Now()
				b, err := awaitOrder(t.Context(), controller, "a", 10*time.Second)
				if test.says == "" && (err != nil || !b.Healthy()) || test.says != "" && (err == nil || !strings.Contains(err.Error(), test.says)) {
					t.Errorf("%+v, %v, want %q", b, err, test.says)
				}
				if took := time.Since(began); took < time.Second {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}
