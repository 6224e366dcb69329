package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// request sends what it reads from stdin, byte for byte, to an address. Granted is an answer with the text in it; the
// answer is told as the error in any case.
func request(args []string) ([]attempt, error) {
	if len(args) != 2 {
		return nil, errors.New("usage: request ADDRESS:PORT TEXT < REQUEST")
	}
	sent, err := io.ReadAll(os.Stdin)
	if err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("tcp", args[0], 5*time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(15 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(sent); err != nil {
		return nil, err
	}
	method, _, _ := bytes.Cut(sent, []byte(" "))
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: string(method)})
	if err != nil {
		return nil, fmt.Errorf("%s answers no HTTP: %w", args[0], err)
	}
	defer resp.Body.Close()
	answer := resp.Status
	if string(method) != http.MethodConnect || resp.StatusCode != http.StatusOK { // else what follows is the tunnel
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if err != nil {
			return nil, err
		}
		answer += "\n" + string(body)
	}
	return []attempt{{Name: string(sent), Granted: strings.Contains(answer, args[1]), Error: answer}}, nil
}

// resolve asks for names, side by side. One query each leaves or doesn't: it is not asked again and again.
func resolve(names []string) ([]attempt, error) {
	attempts := make([]attempt, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			_, err := net.DefaultResolver.LookupHost(ctx, name)
			attempts[i] = outcome(name, err)
		})
	}
	all.Wait()
	return attempts, nil
}
