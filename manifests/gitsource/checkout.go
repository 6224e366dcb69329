package gitsource

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
)

type hash = plumbing.Hash

const recordName = "checkout.json"

var errRecord = errors.New("the record of the earlier checkout is damaged")

// record is checkout.json: what is checked out.
type record struct {
	URL     string `json:"url"`
	Branch  string `json:"branch"`
	Commit  string `json:"commit"`
	Objects string `json:"objects"` // the directory with the objects
}

// String is the revision.
func (r record) String() string {
	return r.Branch + "@sha1:" + r.Commit
}

func (r record) hash() hash {
	return plumbing.NewHash(r.Commit)
}

func (r record) sameRevision(other record) bool {
	return r.Branch == other.Branch && r.Commit == other.Commit
}

func readRecord(dir string) (record, error) {
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return record{}, err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return record{}, fmt.Errorf("%w: %w", errRecord, err)
	}
	if !plumbing.IsHash(r.Commit) || !isStore(r.Objects) {
		return record{}, errRecord
	}
	return r, nil
}

// write replaces the record at once, so that a crash leaves the old one or this one.
func (r record) write(dir string) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, recordName)
	if err := writeSynced(path+".new", data); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
