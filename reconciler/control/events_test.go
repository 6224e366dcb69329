package control

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/bot-bottle/bottled/reconciler"
)

func TestEventLogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventLog{byBottle: map[string][]reconciler.Event{}}
		for i := range maxEvents + 5 {
			l.record(reconciler.Event{Bottle: "a", Message: fmt.Sprint(i)})
		}
		a := l.byBottle["a"]
		if len(a) != maxEvents || a[0].Message != "5" || a[maxEvents-1].Message != fmt.Sprint(maxEvents+4) {
			t.Errorf("%d events, from %q to %q", len(a), a[0].Message, a[len(a)-1].Message)
		}
		for i := range maxEventBottles {
			l.record(reconciler.Event{Bottle: fmt.Sprint(i)})
		}
		if _, kept := l.byBottle["a"]; kept || len(l.byBottle) != maxEventBottles {
			t.Errorf("events of %d bottles; those of the oldest are kept: %t", len(l.byBottle), kept)
		}
		l.record(reconciler.Event{Bottle: "b", Message: strings.Repeat("é", maxEventMessage)})
		if text := l.byBottle["b"][0].Message; len(text) > maxEventMessage+len("…") || !utf8.ValidString(text) {
			t.Errorf("a message of %d bytes", len(text))
		}
	})
}

func TestEventLogCountsRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := eventLog{byBottle: map[string][]reconciler.Event{}}
		first := time.Now()
		for range 3 {
			l.record(reconciler.Event{Bottle: "a", Reason: reconciler.EventFailed, Message: "no image"})
			elapse(time.Second)
		}
		l.record(reconciler.Event{Bottle: "a", Reason: reconciler.EventFailed, Message: "another"})
		a := l.byBottle["a"]
		if len(a) != 2 || a[0].Count != 3 || !a[0].First.Equal(first) || !a[0].Time.Equal(first.Add(2*time.Second)) || a[1].Count != 1 || a[1].ID <= a[0].ID {
			t.Errorf("%+v", a)
		}
	})
}
