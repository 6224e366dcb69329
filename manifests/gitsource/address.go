package gitsource

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// address is where a branch is found.
type address struct {
	url      string // without branch; a local path is absolute
	branch   string // "" is the remote's default
	endpoint transport.Endpoint
}

func (a address) String() string {
	if a.branch == "" {
		return a.url
	}
	return a.url + "#" + a.branch
}

func (a address) isHTTP() bool {
	return a.endpoint.Protocol == "http" || a.endpoint.Protocol == "https"
}

// parseAddress reads URL[#branch]. Its errors don't repeat what may be a password.
func parseAddress(given string) (address, error) {
	url, branch, hasBranch := strings.Cut(given, "#")
	if url == "" {
		return address{}, errors.New("no URL of a repository is given")
	}
	endpoint, err := transport.NewEndpoint(url)
	if err != nil {
		return address{}, errors.New("the repository's URL can't be read: write it like https://git.example.com/team/bottles.git#main")
	}
	if err := checkEndpoint(endpoint); err != nil {
		return address{}, err
	}
	a := address{url: url, endpoint: *endpoint}
	if endpoint.Protocol == "file" && !strings.HasPrefix(url, "file:") {
		if a.url, err = filepath.Abs(url); err != nil {
			return address{}, fmt.Errorf("the repository %s: %w", url, err)
		}
	}
	if !hasBranch {
		return a, nil
	}
	a.branch, err = parseBranch(branch)
	return a, err
}

func checkEndpoint(e *transport.Endpoint) error {
	switch e.Protocol {
	case "http", "https":
		if e.User != "" || e.Password != "" {
			return errors.New("the repository's URL has credentials in it, and URLs are shown in logs and status: take them out and give a token file")
		}
		if strings.Contains(e.Path, "?") {
			return errors.New("the repository's URL has a query (after the ?): leave it out, and give a token file for credentials")
		}
	case "ssh":
		if e.Password != "" || strings.Contains(e.User, ":") {
			return errors.New("the repository's URL has a password in it: take it out; SSH signs in with the keys of ssh-agent")
		}
	case "file":
		if e.Host != "" {
			return errors.New("the repository's URL has a host after file://: write an absolute path, like file:///srv/git/bottles.git")
		}
		return nil
	default:
		return fmt.Errorf("a repository can't be fetched over %s: use https, ssh, http or a local path", e.Protocol)
	}
	if e.Host == "" || strings.Trim(e.Path, "/") == "" { // or a password with a # in it, which cut the URL in two
		return errors.New("the repository's URL lacks a host or a path: write it like https://git.example.com/team/bottles.git#main")
	}
	return nil
}

// parseBranch takes the name of a branch, also with its full name.
func parseBranch(given string) (string, error) {
	name := strings.TrimPrefix(given, "refs/heads/")
	if strings.HasPrefix(name, "refs/") {
		return "", fmt.Errorf("%s is not a branch, and only branches are followed: name one, like #main", given)
	}
	if name == "" {
		return "", errors.New("no branch follows the # of the repository's URL: name one, or leave the # out for the default branch")
	}
	if err := plumbing.NewBranchReferenceName(name).Validate(); err != nil {
		return "", fmt.Errorf("%q can't be the name of a branch: %w", name, err)
	}
	return name, nil
}
