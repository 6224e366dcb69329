package gitsource

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"
)

// sshServer runs git's commands, for one user key.
type sshServer struct {
	t      *testing.T
	repo   *upstream
	config *ssh.ServerConfig
	addr   string
	hosts  []ssh.Signer
}

func newSSHServer(t *testing.T, repo *upstream, user ssh.PublicKey) *sshServer {
	t.Helper()
	s := &sshServer{t: t, repo: repo, config: &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(user.Marshal()) {
				return nil, errors.New("another key")
			}
			return nil, nil
		},
	}}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []any{ec, ed} {
		signer, err := ssh.NewSignerFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
		s.config.AddHostKey(signer)
		s.hosts = append(s.hosts, signer)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s.addr = listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *sshServer) serve(conn net.Conn) {
	defer conn.Close()
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go s.session(channel, requests)
	}
}

func (s *sshServer) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for request := range requests {
		if request.Type != "exec" {
			continue
		}
		var command struct{ Text string }
		err := ssh.Unmarshal(request.Payload, &command)
		path, found := strings.CutPrefix(command.Text, "git-upload-pack ")
		if err != nil || !found || request.Reply(true, nil) != nil {
			s.t.Errorf("%q %v", command.Text, err)
			return
		}
		cmd := exec.Command("git", "upload-pack", strings.Trim(path, "'"))
		cmd.Env, cmd.Stdout, cmd.Stderr = s.repo.env(), channel, channel.Stderr()
		stdin, err := cmd.StdinPipe()
		if err != nil {
			s.t.Error(err)
			return
		}
		go func() { // not by cmd itself, which would wait for the client to close it
			_, _ = io.Copy(stdin, channel)
			stdin.Close()
		}()
		status := 0
		if cmd.Run() != nil {
			status = 128
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		return
	}
}

// sshAgent serves a new key; its public half is the result.
func sshAgent(t *testing.T) ssh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "agent")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, conn) }()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", path)
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestSSH(t *testing.T) {
	r := newRepository(t)
	first := r.commit("first", map[string]string{"a": "1"})
	served := newSSHServer(t, r, sshAgent(t))
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	t.Setenv("SSH_KNOWN_HOSTS", hosts)
	t.Setenv("HOME", t.TempDir())
	url := fmt.Sprintf("ssh://git@%s%s#main", served.addr, r.dir)
	s := open(t, Options{URL: url})

	pullFails(t, s, "known_hosts")
	writeFile(t, hosts, "")
	pullFails(t, s, "the server's SSH key is not the one in known_hosts, or there is none")
	ed := knownhosts.Line([]string{served.addr}, served.hosts[1].PublicKey()) // the server would rather show the other one
	writeFile(t, hosts, ed+"\n")
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	pull(t, s, false)
	second := r.commit("second", map[string]string{"a": "2"})
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})

	// Objects that are damaged take a second fetch, and so a second connection.
	r.commit("third", map[string]string{"a": "3"})
	if err := errors.Join(os.RemoveAll(s.path(repositoryName)), os.RemoveAll(s.path(treeName))); err != nil {
		t.Fatal(err)
	}
	pull(t, s, true)
	pullFails(t, open(t, Options{URL: strings.Replace(url, "#", "x#", 1)}), "there is no such repository")

	other := newSSHServer(t, r, sshAgent(t)) // another host key at a known place
	writeFile(t, hosts, knownhosts.Line([]string{other.addr}, served.hosts[1].PublicKey())+"\n")
	pullFails(t, open(t, Options{URL: strings.Replace(url, served.addr, other.addr, 1)}), "the server's SSH key is not the one in known_hosts")
	writeFile(t, hosts, ed+"\n")
	pullFails(t, s, "unable to authenticate") // the agent has another key now
	t.Setenv("SSH_AUTH_SOCK", "")
	pullFails(t, s, "ssh-agent")
}

// TestSilentSSHServer: a server that accepts and says nothing.
func TestSilentSSHServer(t *testing.T) {
	sshAgent(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	ended := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			ended <- err
			return
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			ended <- err
			return
		}
		for buffer := make([]byte, 1000); err == nil; {
			_, err = conn.Read(buffer)
		}
		ended <- err
	}()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	writeFile(t, hosts, "")
	t.Setenv("SSH_KNOWN_HOSTS", hosts)
	began := time.Now()
	pullFails(t, open(t, Options{URL: "ssh://git@" + listener.Addr().String() + "/x", Timeout: 200 * time.Millisecond}), "not done within 200ms")
	if took := time.Since(began); took > 3*time.Second {
		t.Error(took)
	}
	if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the connection was left open")
	}
}
