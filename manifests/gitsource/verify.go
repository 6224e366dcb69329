package gitsource

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// refusal is a commit that is not taken, whatever happens to the network.
type refusal struct {
	commit plumbing.Hash
	who    string // the commit, for people
	reason string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("%s is refused: %s", r.who, r.reason)
}

func refusef(format string, args ...any) *refusal {
	return &refusal{reason: fmt.Sprintf(format, args...)}
}

// describe names the commit that is refused.
func (r *refusal) describe(commit *object.Commit) {
	subject, _, _ := strings.Cut(commit.Message, "\n")
	r.commit = commit.Hash
	r.who = fmt.Sprintf("commit %s by %s <%s>, %q,", commit.Hash.String()[:12], commit.Author.Name, commit.Author.Email, subject)
}

// keyring are armored public keys, a block each. Without any, every commit will do.
type keyring []string

// parseKeys splits the text into blocks, since the OpenPGP library reads only the first one.
func parseKeys(text []byte) (keyring, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		if text == nil {
			return nil, nil
		}
		return nil, errors.New("the file of OpenPGP keys is empty: put the public keys of the committers in it (gpg --armor --export)")
	}
	var keys keyring
	r := bufio.NewReader(bytes.NewReader(text))
	for {
		block, err := armor.Decode(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the OpenPGP keys can't be read: %w; they must be armored (gpg --armor --export)", err)
		}
		if block.Type != openpgp.PublicKeyType {
			return nil, fmt.Errorf("among the OpenPGP keys is a %s: give public keys only (gpg --armor --export)", block.Type)
		}
		key, err := rearmor(block)
		if err != nil {
			return nil, fmt.Errorf("an OpenPGP key can't be read: %w; export it anew (gpg --armor --export)", err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no OpenPGP key among the keys: they must be armored (gpg --armor --export)")
	}
	return keys, nil
}

// rearmor checks one block and gives it back as text of its own.
func rearmor(block *armor.Block) (string, error) {
	body, err := io.ReadAll(block.Body)
	if err != nil {
		return "", err
	}
	if _, err := openpgp.ReadKeyRing(bytes.NewReader(body)); err != nil {
		return "", err
	}
	var text bytes.Buffer
	w, err := armor.Encode(&text, openpgp.PublicKeyType, nil)
	if err != nil {
		return "", err
	}
	_, err = w.Write(body)
	err = errors.Join(err, w.Close())
	return text.String(), err
}

// verify reports whether one of the keys has signed the commit; the error is a refusal.
func (k keyring) verify(commit *object.Commit) error {
	if len(k) == 0 {
		return nil
	}
	const fix = "only commits signed by one of the given OpenPGP keys are taken"
	switch signature := strings.TrimSpace(commit.PGPSignature); {
	case signature == "":
		return refusef("it is not signed; %s: sign it (git commit --amend -S) and push again", fix)
	case !strings.HasPrefix(signature, "-----BEGIN PGP"):
		return refusef("its signature is not an OpenPGP one (SSH or X.509, it seems); %s: sign it with such a key", fix)
	}
	var err error
	for _, key := range k {
		if _, err = commit.Verify(key); !errors.Is(err, pgperrors.ErrUnknownIssuer) {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgperrors.ErrUnknownIssuer):
		return refusef("it is signed by an unknown key; %s: sign it with one of them, or add the signer's key", fix)
	}
	return refusef("its signature is not valid: %v; %s", err, fix)
}
