package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/owndir"
)

func runsPath(s state.Settings, slug string) string {
	return filepath.Join(s.BottleDir(slug), state.RunsFile)
}

// ReadRuns returns what is known of the runs of a bottle's agent; the zero value when nothing is on file. It is removed with the
// bottle.
func ReadRuns(s state.Settings, slug string) (r state.AgentRuns, err error) {
	path := runsPath(s, slug)
	data, err := owndir.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &r)
	}
	if err != nil {
		return r, fmt.Errorf("read whether the agent of bottle %s has ended: %s: %w; remove the file if the agent may run again", slug, path, err)
	}
	return r, nil
}

// SaveRuns writes what is known of the runs of a bottle's agent.
func SaveRuns(s state.Settings, slug string, r state.AgentRuns) error {
	data, err := json.Marshal(r)
	if err == nil {
		err = writeRecord(runsPath(s, slug), data)
	}
	if err != nil {
		return fmt.Errorf("save what is known of the runs of bottle %s's agent: %w", slug, err)
	}
	return nil
}
