package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// half is one side of a connection whose directions end one by one, on the virtual clock.
type half struct {
	net.Conn // what is sent
	in       net.Conn
}

// duplex is a connection in memory that can be half closed: a pipe for each direction.
func duplex() (a, b *half) {
	fromA, toB := net.Pipe()
	fromB, toA := net.Pipe()
	return &half{fromA, toA}, &half{fromB, toB}
}

func (h *half) Read(p []byte) (int, error)        { return h.in.Read(p) }
func (h *half) SetReadDeadline(t time.Time) error { return h.in.SetReadDeadline(t) }
func (h *half) CloseWrite() error                 { return h.Conn.Close() }
func (h *half) Close() error                      { return errors.Join(h.in.Close(), h.Conn.Close()) }

// A connection may be silent for ever, but not once one side has ended it: that side may be gone for good.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, atClient := duplex()
		atAgent, agent := duplex()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Splice(t.Context(), atClient, atAgent)
		}()
		say := func(from, to *half) error {
			go func() { _, _ = from.Write([]byte("x")) }()
			_, err := io.ReadFull(to, make([]byte, 1))
			return err
		}
		<-time.After(30 * 24 * time.Hour)
		if err := say(client, agent); err != nil {
			t.Fatal("after a month of silence:", err)
		}
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := agent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Fatal("the agent does not see the client's end:", err)
		}
		for range 3 { // an answer that takes its time
			<-time.After(halfClosedIdle - time.Second)
			if err := say(agent, client); err != nil {
				t.Fatal("an answer:", err)
			}
		}
		<-time.After(halfClosedIdle + time.Second)
		select {
		case <-ended:
		default:
			t.Error("it goes on, half closed and silent")
		}
		if err := say(agent, client); err == nil || os.IsTimeout(err) {
			t.Error("the client can still be reached:", err)
		}
	})
}
