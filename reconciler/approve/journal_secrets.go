package approve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/bot-bottle/bottled/state/owndir"
)

// givenSecret is the secret of a decision under way. It is in a file of its own beside the journal, for bottled's user only, from before the
// decision is on file until it is carried out, and in no other file than that and the token's.
type givenSecret struct {
	After []byte `json:"after"` // what the token's file gets
	// Known says that Before is what the file had. That is on file before the file is replaced; nil: there was none.
	Known  bool   `json:"known"`
	Before []byte `json:"before"`
}

func (j journal) secretDir() string { return filepath.Join(j.dir, "secrets") }

func (j journal) secretPath(id string) string { return filepath.Join(j.secretDir(), id+journalSuffix) }

// saveSecret keeps the secret of a decision. After nil it survives a crash.
func (j journal) saveSecret(id string, s givenSecret) error {
	data, err := json.Marshal(s)
	if err == nil {
		err = owndir.Save(j.secretPath(id), data)
	}
	if err != nil {
		return fmt.Errorf("keep the secret of proposal %s: %w", id, err)
	}
	return nil
}

// readSecret returns the secret of a decision. It fails with fs.ErrNotExist if there is none.
func (j journal) readSecret(id string) (s givenSecret, err error) {
	data, err := owndir.ReadFile(j.secretPath(id))
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		return givenSecret{}, fmt.Errorf("read the secret of proposal %s: %s: %w", id, j.secretPath(id), err)
	}
	return s, nil
}

// removeSecret removes the secret of a decision, which may be gone.
func (j journal) removeSecret(id string) error {
	if err := removeFile(j.secretPath(id)); err != nil {
		return fmt.Errorf("remove the secret of proposal %s: %w", id, err)
	}
	return nil
}

// removeStraySecrets removes the secrets of decisions that are not on file. A crash left them, before anything was changed or after all was.
func (j journal) removeStraySecrets() error {
	entries, err := os.ReadDir(j.secretDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the secrets of decisions: %w", err)
	}
	var failed []error
	for _, e := range entries {
		_, err := os.Lstat(filepath.Join(j.dir, e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			err = removeFile(filepath.Join(j.secretDir(), e.Name()))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// removeFile removes a file, which may be gone. After nil that survives a crash.
func removeFile(path string) error {
	err := os.Remove(path)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		err = owndir.SyncDir(filepath.Dir(path))
	}
	if errors.Is(err, fs.ErrNotExist) { // the directory, too
		return nil
	}
	return err
}
