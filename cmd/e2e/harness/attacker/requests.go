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

// pipeline sends a proxy as many requests for a host as asked for, over a few connections and without waiting for the answers. A %d
// in the host is the request's number. Granted is that all were answered; how many is told as the error.
func pipeline(args []string) ([]attempt, error) {
	if len(args) != 3 {
		return nil, errors.New("usage: pipeline ADDRESS:PORT N HOST")
	}
	n, err := number(args[1:2])
	if err != nil {
		return nil, err
	}
	const conns = 8
	answered := make([]int, conns)
	failed := make([]error, conns)
	var all sync.WaitGroup
	for c := range conns {
		all.Go(func() { answered[c], failed[c] = askEach(args[0], args[2], c, n, conns) })
	}
	all.Wait()
	sum := 0
	for _, a := range answered {
		sum += a
	}
	return []attempt{{Name: args[2], Granted: sum == n, Error: fmt.Sprint(sum)}}, errors.Join(failed...)
}

// askEach sends every step-th request, from the given one on.
func askEach(address, host string, from, n, step int) (answered int, err error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return 0, err
	}
	sent := make(chan error, 1)
	go func() {
		out := bufio.NewWriter(conn)
		for i := from; i < n; i += step {
			name := strings.ReplaceAll(host, "%d", fmt.Sprint(i))
			fmt.Fprintf(out, "GET http://%s/ HTTP/1.1\r\nHost: %s\r\n\r\n", name, name)
		}
		sent <- out.Flush()
	}()
	answers := bufio.NewReader(conn)
	for i := from; i < n; i += step {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return answered, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return answered, err
		}
		answered++
	}
	return answered, <-sent
}
