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

// request sends what it reads from stdin, byte for byte, to an address. Granted is an answer with the text in it. If a request follows
// CONNECT, the answer is the one in the tunnel. It is reported as the error in any case.
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
	from := bufio.NewReader(conn)
	answer, err := readAnswer(from, sent)
	if _, inside, _ := bytes.Cut(sent, []byte("\r\n\r\n")); err == nil && len(inside) > 0 && isTunnel(sent, answer) {
		answer, err = readAnswer(from, inside)
	}
	if err != nil {
		return nil, fmt.Errorf("%s answers no HTTP: %w", args[0], err)
	}
	return []attempt{{Name: string(sent), Granted: strings.Contains(answer, args[1]), Error: answer}}, nil
}

func isTunnel(sent []byte, answer string) bool {
	return bytes.HasPrefix(sent, []byte(http.MethodConnect+" ")) && strings.HasPrefix(answer, "200 ")
}

// readAnswer returns the status and the body of the answer to a request. What follows a tunnel's status is the tunnel.
func readAnswer(from *bufio.Reader, request []byte) (string, error) {
	method, _, _ := bytes.Cut(request, []byte(" "))
	resp, err := http.ReadResponse(from, &http.Request{Method: string(method)})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if isTunnel(request, resp.Status) {
		return resp.Status, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return resp.Status + "\n" + string(body), err
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
