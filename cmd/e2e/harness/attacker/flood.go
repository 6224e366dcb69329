package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// floodTime is how long a flood lasts at most.
const floodTime = 8 * time.Second

// flood opens so many connections at once and sends each a header of so many bytes, with or without an end. What it was
// answered with, and how often, is told as attempts.
func flood(args []string) ([]attempt, error) {
	if len(args) != 4 {
		return nil, errors.New("usage: flood ADDRESS:PORT CONNECTIONS BYTES ended|unended")
	}
	conns, err := strconv.Atoi(args[1])
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(args[2])
	if err != nil {
		return nil, err
	}
	header := "GET http://flood.test/ HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("a:\r\n", size/8) + "X: " + strings.Repeat("x", size/2) + "\r\n"
	if args[3] == "ended" {
		header += "\r\n"
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	answers := map[string]int{}
	for range conns {
		all.Go(func() {
			answer := floodOne(args[0], header)
			mu.Lock()
			defer mu.Unlock()
			answers[answer]++
		})
	}
	all.Wait()
	var attempts []attempt
	for answer, n := range answers {
		attempts = append(attempts, attempt{Name: fmt.Sprintf("%d answers: %s", n, answer)})
	}
	return attempts, nil
}

func floodOne(address, header string) string {
	conn, err := net.DialTimeout("tcp", address, floodTime)
	if err != nil {
		return "no connection"
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(floodTime)); err != nil {
		return err.Error()
	}
	_, _ = conn.Write([]byte(header)) // it may be refused before all is sent
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "none"
	}
	return strings.TrimSpace(line) + " "
}
