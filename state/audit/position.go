package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/bot-bottle/bottled/state/owndir"
)

// positions is a checkpoint: how far the sidecars' output was read when the log had this size. It is written after the log, whose
// records beyond that size are replayed, so that a process may be killed in between.
type positions struct {
	Device  uint64                    `json:"device"`
	Inode   uint64                    `json:"inode"`
	Size    int64                     `json:"size"`
	Used    map[string]int64          `json:"used"`
	Sources map[string]sourcePosition `json:"sources"`
}

type sourcePosition struct {
	Component string `json:"component"`
	Position
}

func (t *Trail) positionsPath() string {
	return filepath.Join(t.log.dir, strings.TrimSuffix(t.log.name, ".jsonl")+".positions")
}

// Save syncs the log and writes a checkpoint, so that both survive a crash of the host.
func (t *Trail) Save() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.changed {
		return nil
	}
	if err := t.save(); err != nil {
		return t.log.wrapWriteError(err)
	}
	t.log.mu.Lock()
	defer t.log.mu.Unlock()
	return t.log.noteHead(headInterval)
}

func (t *Trail) save() error {
	if t.log.file == nil {
		return nil // it could not be reopened; the previous checkpoint still holds
	}
	if err := t.log.file.Sync(); err != nil {
		return err
	}
	info, err := t.log.file.Stat()
	if err != nil {
		return err
	}
	p := positions{Size: info.Size(), Used: t.used, Sources: map[string]sourcePosition{}}
	p.Device, p.Inode = identity(info)
	for id, s := range t.sources {
		p.Sources[id] = sourcePosition{s.component, s.committed}
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := owndir.WriteFile(t.positionsPath(), data, 0o600, nil); err != nil {
		return err
	}
	t.changed = false
	return nil
}

func identity(info fs.FileInfo) (device, inode uint64) {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Dev), stat.Ino //nolint:unconvert // another type elsewhere
	}
	return 0, 0
}

// restore reads the checkpoint of the last process and replays the log from there.
func (t *Trail) restore() error {
	var p positions
	data, err := owndir.ReadFile(t.positionsPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the audit log's checkpoint: %w", err)
	}
	if err == nil && json.Unmarshal(data, &p) != nil {
		p = positions{} // replay the whole log, which has everything that was not archived
	}
	for id, r := range p.Sources {
		t.sources[id] = &source{component: r.Component, committed: r.Position, position: r.Position, delay: gapDelay}
	}
	info, err := t.log.file.Stat()
	if err != nil {
		return t.log.wrapWriteError(err)
	}
	var from int64
	if device, inode := identity(info); device == p.Device && inode == p.Inode && info.Size() >= p.Size {
		from = p.Size
		for component, bytes := range p.Used {
			t.used[component] = bytes
		}
	}
	if err := t.replay(io.NewSectionReader(t.log.file, from, info.Size()-from)); err != nil {
		return fmt.Errorf("read audit log %s: %w", t.log.Path(), err)
	}
	return nil
}

// replay restores positions from records of the log.
func (t *Trail) replay(log io.Reader) error {
	lines := bufio.NewReaderSize(log, 2*lineBytes)
	for {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull) // a person's decision with its diff, which has no position
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if !long {
			t.replayLine(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *Trail) replayLine(line []byte) {
	var r Record
	if json.Unmarshal(bytes.TrimSpace(line), &r) != nil || r.Container == "" || r.Component == "" {
		return // a person's decision, or a line that a full disk cut short
	}
	s := t.source(r.Container, r.Component)
	s.committed, s.position = r.Position, r.Position
	t.used[r.Component] += int64(len(line))
}
