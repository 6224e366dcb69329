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

// positions is how far the sidecars' output was read, as of a size of the log. It is written after the log, and what the log
// has beyond that size is read again, so a process may be killed in between.
type positions struct {
	Device  uint64              `json:"device"`
	Inode   uint64              `json:"inode"`
	Size    int64               `json:"size"`
	Used    map[string]int64    `json:"used"`
	Sources map[string]reported `json:"sources"`
}

type reported struct {
	Component string `json:"component"`
	Position
}

func (t *Trail) positionsPath() string {
	return filepath.Join(t.log.dir, strings.TrimSuffix(t.log.name, ".jsonl")+".positions")
}

// Save makes the log, and how far it goes, survive a crash of the host.
func (t *Trail) Save() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.changed {
		return nil
	}
	return t.log.explain(t.save())
}

func (t *Trail) save() error {
	if t.log.file == nil {
		return nil // it could not be opened again; the positions of the one before still hold
	}
	if err := t.log.file.Sync(); err != nil {
		return err
	}
	info, err := t.log.file.Stat()
	if err != nil {
		return err
	}
	p := positions{Size: info.Size(), Used: t.used, Sources: map[string]reported{}}
	p.Device, p.Inode = identity(info)
	for id, s := range t.sources {
		p.Sources[id] = reported{s.component, s.committed}
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

// restore takes up where the last process was.
func (t *Trail) restore() error {
	var p positions
	data, err := owndir.ReadFile(t.positionsPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read how far the audit log goes: %w", err)
	}
	if err == nil && json.Unmarshal(data, &p) != nil {
		p = positions{} // the log itself has it all, but for what was archived
	}
	for id, r := range p.Sources {
		t.sources[id] = &source{component: r.Component, committed: r.Position, position: r.Position, delay: gapDelay}
	}
	info, err := t.log.file.Stat()
	if err != nil {
		return t.log.explain(err)
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

// replay takes the positions from the log itself.
func (t *Trail) replay(log io.Reader) error {
	lines := bufio.NewReaderSize(log, 2*lineBytes)
	for {
		line, err := lines.ReadSlice('\n')
		long := errors.Is(err, bufio.ErrBufferFull) // a person's decision, with what it changes
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = lines.ReadSlice('\n')
		}
		if !long {
			t.reapply(line)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (t *Trail) reapply(line []byte) {
	var r Record
	if json.Unmarshal(bytes.TrimSpace(line), &r) != nil || r.Container == "" || r.Component == "" {
		return // a person's decision, or a line that a full disk cut short
	}
	s := t.source(r.Container, r.Component)
	s.committed, s.position = r.Position, r.Position
	t.used[r.Component] += int64(len(line))
}
