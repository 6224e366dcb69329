package pipelock

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired atomic.Int64
		i := newIdle(time.Minute, func() { fired.Add(1) })
		for range 3 {
			<-time.After(59 * time.Second)
			i.touch()
		}
		if synctest.Wait(); fired.Load() != 0 {
			t.Error("fired in spite of moves")
		}
		<-time.After(61 * time.Second)
		if synctest.Wait(); fired.Load() != 1 {
			t.Errorf("fired %d times after a minute", fired.Load())
		}
		i.stop()
		i.touch()
		<-time.After(time.Hour)
		if synctest.Wait(); fired.Load() != 1 {
			t.Error("fired after stop")
		}
	})
}
