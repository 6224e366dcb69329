package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// SocketName is the socket in the shared directory.
const SocketName = "host.sock"

const (
	// spares is how many connections a relay keeps for clients to come. One is replaced as soon as it is used.
	spares = 16
	// maxSpares is how many of them the host keeps: while a relay takes the place of another there are those of both.
	maxSpares = 4 * spares
	// maxTarget is the length of a target in bytes.
	maxTarget = 128
)

// The reasons why a target can't be connected to.
var (
	ErrRefused = errors.New("nothing listens on that port of its network address")
	ErrNoHost  = errors.New("it does not run")
	ErrTimeout = errors.New("it does not answer")
	ErrBusy    = errors.New("there are too many connections")
	ErrFailed  = errors.New("the connection failed")
)

// connected is the answer for a target that was connected to. The others are in failures.
const connected = 0

// failures are the answers for targets that can't be connected to: their index plus one. A relay's own words would reach the terminal of
// whoever reads the error.
var failures = []error{ErrRefused, ErrNoHost, ErrTimeout, ErrBusy, ErrFailed}

// answerOf returns the answer for the error of a dialer.
func answerOf(err error) byte {
	var dns *net.DNSError
	reason := ErrFailed
	switch {
	case err == nil:
		return connected
	case errors.Is(err, ErrBusy):
		reason = ErrBusy
	case errors.As(err, &dns) && dns.IsNotFound:
		reason = ErrNoHost
	case errors.Is(err, syscall.ECONNREFUSED):
		reason = ErrRefused
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ETIMEDOUT):
		reason = ErrTimeout
	}
	for i, failure := range failures {
		if errors.Is(reason, failure) {
			return byte(i + 1)
		}
	}
	return connected + 1 // any failure is better than success
}

// errorOf returns the error that an answer stands for; nil for connected.
func errorOf(answer byte) error {
	switch {
	case answer == connected:
		return nil
	case int(answer) <= len(failures):
		return failures[answer-1]
	}
	return fmt.Errorf("%w: unknown answer %d", ErrFailed, answer)
}

// readTarget reads a target. It reads byte by byte: what follows is the client's.
func readTarget(r io.Reader) (string, error) {
	var text strings.Builder
	for next := make([]byte, 1); text.Len() <= maxTarget; text.Write(next) {
		if _, err := io.ReadFull(r, next); err != nil {
			return "", err
		}
		if next[0] == '\n' {
			return text.String(), nil
		}
	}
	return "", fmt.Errorf("the target has more than %d bytes", maxTarget)
}
