package gitsource

import (
	"bytes"
	"crypto"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
)

// newKey is a day old, with a lifetime (0 is unlimited).
func newKey(t *testing.T, name string, lifetime time.Duration) *openpgp.Entity {
	t.Helper()
	config := &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: crypto.SHA256, KeyLifetimeSecs: uint32(lifetime.Seconds()),
		Time: func() time.Time { return time.Now().Add(-24 * time.Hour) },
	}
	key, err := openpgp.NewEntity(name, "", name+"@example.com", config)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func armored(t *testing.T, kind string, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var text bytes.Buffer
	for _, key := range keys {
		w, err := armor.Encode(&text, kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		if kind == openpgp.PrivateKeyType {
			err = key.SerializePrivate(w, nil)
		} else {
			err = key.Serialize(w)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		text.WriteString("\n")
	}
	return text.Bytes()
}

// amend gives HEAD a signature, made by sign from what the commit says.
func (r *upstream) amend(sign func(text string) string) string {
	r.t.Helper()
	repo, err := git.PlainOpen(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	commit, err := repo.CommitObject(plumbing.NewHash(r.head()))
	if err != nil {
		r.t.Fatal(err)
	}
	text := &plumbing.MemoryObject{}
	if err := commit.EncodeWithoutSignature(text); err != nil {
		r.t.Fatal(err)
	}
	reader, err := text.Reader()
	if err != nil {
		r.t.Fatal(err)
	}
	var content bytes.Buffer
	if _, err := content.ReadFrom(reader); err != nil {
		r.t.Fatal(err)
	}
	head, message, _ := strings.Cut(content.String(), "\n\n")
	signature := strings.ReplaceAll(strings.TrimSpace(sign(content.String())), "\n", "\n ")
	signed := r.gitInput(head+"\ngpgsig "+signature+"\n\n"+message, "hash-object", "-t", "commit", "-w", "--stdin")
	r.git("update-ref", "refs/heads/main", signed)
	return signed
}

func signWith(t *testing.T, key *openpgp.Entity, config *packet.Config) func(string) string {
	return func(text string) string {
		var signature bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&signature, key, strings.NewReader(text), config); err != nil {
			t.Fatal(err)
		}
		return signature.String()
	}
}

func TestSignedCommits(t *testing.T) {
	ann, ben, eve := newKey(t, "ann", 0), newKey(t, "ben", 0), newKey(t, "eve", 0)
	r := newRepository(t)
	old := newKey(t, "old", 12*time.Hour)
	keys := armored(t, openpgp.PublicKeyType, ann, ben, old)
	dir := t.TempDir()
	s := open(t, Options{URL: r.url, Dir: dir, Keys: keys})

	r.commit("nobody's", map[string]string{"a": "0"})
	pullFails(t, s, "commit ", `by Ann <ann@example.com>, "nobody's", is refused: it is not signed`, "git commit --amend -S")
	r.seen()
	pullFails(t, s, "it is not signed")
	checkRequests(t, r, listed) // what was refused is not fetched again

	r.commit("ann's", map[string]string{"a": "1"})
	first := r.amend(signWith(t, ann, nil))
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
	r.commit("ben's", map[string]string{"a": "2"})
	second := r.amend(signWith(t, ben, nil)) // the second block of the keys
	pull(t, s, true)
	check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})

	dayAgo := func() time.Time { return time.Now().Add(-20 * time.Hour) }
	hourAgo := func() time.Time { return time.Now().Add(-time.Hour) }
	for name, c := range map[string]struct {
		sign func(string) string
		word string
	}{
		"unknown key":      {signWith(t, eve, nil), "signed by an unknown key"},
		"another text":     {func(text string) string { return signWith(t, ann, nil)(text + "!") }, "its signature is not valid"},
		"SSH":              {func(string) string { return "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----" }, "not an OpenPGP one"},
		"nonsense":         {func(string) string { return "-----BEGIN PGP SIGNATURE-----\nx\n-----END PGP SIGNATURE-----" }, "its signature is not valid"},
		"expired":          {signWith(t, ann, &packet.Config{Time: hourAgo, SigLifetimeSecs: 60}), "expired"},
		"expired key":      {signWith(t, old, &packet.Config{Time: dayAgo}), "key expired"},
		"another's commit": {func(string) string { return signWith(t, ann, nil)("x") }, "its signature is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			r.git("reset", "--quiet", "--hard", second)
			r.commit(name, map[string]string{"a": "evil " + name})
			r.amend(c.sign)
			pullFails(t, s, c.word, "is refused")
			check(t, s, "main@sha1:"+second, map[string]string{"a": "2"})
		})
	}

	r.git("reset", "--quiet", "--hard", second)
	pull(t, s, false)
	check(t, open(t, Options{URL: r.url, Dir: dir, Keys: keys}), "main@sha1:"+second, map[string]string{"a": "2"})

	// ben has left: what he signed is not taken any more, also when it is here already.
	s = open(t, Options{URL: r.url, Dir: dir, Keys: armored(t, openpgp.PublicKeyType, ann)})
	if s.Revision() != "" {
		t.Errorf("%s is shown although its key is no longer given", s.Revision())
	}
	pullFails(t, s, "unknown key")
	r.git("reset", "--quiet", "--hard", first)
	pull(t, s, true)
	check(t, s, "main@sha1:"+first, map[string]string{"a": "1"})
}

func TestKeys(t *testing.T) {
	ann, ben := newKey(t, "ann", 0), newKey(t, "ben", 0)
	keys, err := parseKeys(append([]byte("some words before\n"), armored(t, openpgp.PublicKeyType, ann, ben)...))
	if err != nil || len(keys) != 2 {
		t.Error(len(keys), err)
	}
	public := armored(t, openpgp.PublicKeyType, ann)
	wrong := "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"
	for name, c := range map[string]struct {
		text []byte
		word string
	}{
		"private":      {append(public, armored(t, openpgp.PrivateKeyType, ben)...), "give public keys only"},
		"cut off":      {public[:len(public)/2], "can't be read"},
		"second wrong": {append(armored(t, openpgp.PublicKeyType, ann), wrong...), "can't be read"},
	} {
		if _, err := parseKeys(c.text); err == nil || !strings.Contains(err.Error(), c.word) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
