// Command demo shows bottled at work on this machine, command by command, and proves what it claims. It sets up and builds what is
// missing first. Run it in the repository's root:
//
//	go run ./cmd/demo        # the demo
//	go run ./cmd/demo down   # removes everything that it made
//
// It imports nothing but the standard library, so that it starts within seconds on a machine that has nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	d := &demo{shell: &shell{ctx: ctx, out: os.Stdout}}
	switch {
	case len(args) == 0:
		d.run()
	case len(args) == 1 && args[0] == "down":
		d.down()
	default:
		return errors.New("usage: go run ./cmd/demo [down]")
	}
	return d.err
}
