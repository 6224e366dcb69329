package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// attempt is one thing tried, and what came of it.
type attempt struct {
	Name    string `json:"name"`
	Granted bool   `json:"granted"` // the attacker got what it wanted
	Error   string `json:"error,omitempty"`
}

func outcome(name string, err error) attempt {
	if err == nil {
		return attempt{Name: name, Granted: true}
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return attempt{Name: name, Error: unix.ErrnoName(errno)}
	}
	return attempt{Name: name, Error: err.Error()}
}

var commands = map[string]func(args []string) ([]attempt, error){
	"connect":    connect,
	"ask":        ask,
	"send":       send,
	"request":    request,
	"pipeline":   pipeline,
	"flood":      flood,
	"resolve":    resolve,
	"sockets":    func([]string) ([]attempt, error) { return sockets(), nil },
	"calls":      func([]string) ([]attempt, error) { return calls(), nil },
	"processes":  processes,
	"overwrite":  overwrite,
	"alter":      alter,
	"find":       find,
	"show":       show,
	"sockets-at": socketsAt,
	"setuid":     setuid,
	"forks":      forks,
	"memory":     memory,
	"swap":       swap,
	"trap":       trap,
	"storm":      storm,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "attacker: no such attack: %q\n", os.Args[1:])
		os.Exit(2)
	}
	attempts, err := commands[os.Args[1]](os.Args[2:])
	for _, a := range attempts {
		if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
			fmt.Fprintln(os.Stderr, "attacker:", err)
			os.Exit(2)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "attacker: %s: %v\n", os.Args[1], err)
		os.Exit(2)
	}
}
