package queue

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// MaxPending is how many proposals may wait for a human at once.
	MaxPending = 32
	// MaxBytes limits the directory's size at submission, in bytes. Answers add up to 64 KiB each.
	MaxBytes = 8 << 20
	// AnswerAge is the time after which an unfetched answer is dropped: the bottle may have changed too much since.
	AnswerAge = 7 * 24 * time.Hour
)

const (
	// maxAnswered is the number of answered proposals that are kept for an agent to fetch.
	maxAnswered = 64
	// tempAge is the age from which a temporary or orphaned file counts as left over by a crash.
	tempAge = time.Hour
)

var (
	// ErrFull is returned for a proposal beyond MaxPending or MaxBytes.
	ErrFull = errors.New("too many proposals are waiting for a human")
	// ErrAnswered is returned for a second answer.
	ErrAnswered = errors.New("the proposal is answered already")
	// ErrGone is returned for a proposal that is not in the queue any more.
	ErrGone = errors.New("the proposal is not in the queue")
)

// Queue is one bottle's queue. It is safe for concurrent use.
type Queue struct {
	files   files
	now     func() time.Time
	watcher watcher

	maxBytes int64      // MaxBytes, but for tests
	submit   sync.Mutex // one submission at a time, so that the bounds hold
}

// Open opens the queue in an existing directory. Close it after use.
func Open(dir string) (*Queue, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	return &Queue{files: files{root: root, dir: dir}, now: time.Now, watcher: watcher{dir: dir}, maxBytes: MaxBytes}, nil
}

// Close releases the queue; nobody may be waiting.
func (q *Queue) Close() error {
	return errors.Join(q.watcher.close(), q.files.root.Close())
}

// Entry is one proposal and, once there is one, its answer.
type Entry struct {
	Proposal Proposal
	Answer   *Answer // nil while pending
}

// Stale reports whether the answer is too old to be delivered; false while there is none.
func (e Entry) Stale(now time.Time) bool {
	return e.Answer != nil && now.Sub(e.Answer.Time) > AnswerAge
}

// Submit queues a proposal and returns it with its ID and time filled in. It fails with ErrFull when
// MaxPending are waiting, or when the directory would hold more than MaxBytes.
func (q *Queue) Submit(p Proposal) (Proposal, error) {
	q.submit.Lock()
	defer q.submit.Unlock()
	p.Created = q.now().UTC()
	p.ID = NewID(p.Created)
	if err := p.validate(); err != nil {
		return Proposal{}, fmt.Errorf("submit proposal: %w", err)
	}
	data, err := encode(p)
	if err != nil {
		return Proposal{}, fmt.Errorf("submit proposal: %w", err)
	}
	if err := q.makeRoom(int64(len(data))); err != nil {
		return Proposal{}, fmt.Errorf("submit proposal: %w", err)
	}
	if err := q.files.create(p.ID+proposalSuffix, data); err != nil {
		return Proposal{}, fmt.Errorf("submit proposal: %w", err)
	}
	return p, nil
}

// makeRoom sweeps the queue, and returns ErrFull if a further proposal of size bytes does not fit.
func (q *Queue) makeRoom(size int64) error {
	entries, _, err := q.List()
	if err != nil {
		return err
	}
	pending := 0
	for _, e := range entries {
		if e.Answer == nil {
			pending++
		}
	}
	if pending >= MaxPending {
		return fmt.Errorf("%w (%d)", ErrFull, pending)
	}
	used, err := q.sweep(entries, size)
	if err != nil {
		return err
	}
	if used+size > q.maxBytes {
		return fmt.Errorf("%w (%d bytes in the queue, and %d more; at most %d)", ErrFull, used, size, q.maxBytes)
	}
	return nil
}

// NewID returns an identifier that sorts by time and has 130 random bits.
func NewID(t time.Time) string {
	stamp := strings.Replace(t.UTC().Format("20060102t150405.000000000z"), ".", "", 1)
	return stamp + "-" + strings.ToLower(rand.Text())
}

// List returns every readable proposal, the oldest first. All other entries of the directory, half-written,
// foreign or malicious, are reported as problems and otherwise ignored.
func (q *Queue) List() (entries []Entry, problems []error, err error) {
	names, err := q.files.names()
	if err != nil {
		return nil, nil, fmt.Errorf("queue %s: %w", q.files.dir, err)
	}
	slices.Sort(names)
	budget := int64(trimBytes)
	for _, name := range names {
		if budget -= q.files.size(name); budget < 0 {
			return nil, nil, fmt.Errorf("queue %s: more than %d bytes; a controller trims it, or empty the directory by hand",
				q.files.dir, trimBytes)
		}
		id, isProposal := strings.CutSuffix(name, proposalSuffix)
		switch {
		case isProposal && idPattern.MatchString(id):
			entry, err := q.Get(id)
			switch {
			case err == nil:
				entries = append(entries, entry)
			case !errors.Is(err, ErrGone):
				problems = append(problems, err)
			}
		case strings.HasPrefix(name, tempPrefix), strings.HasSuffix(name, answerSuffix):
			// being written, or the answer of a proposal that is being removed
		default:
			problems = append(problems, fmt.Errorf("queue %s: %.128q is not a queue file", q.files.dir, name))
		}
	}
	return entries, problems, nil
}

// Pending returns the proposals that wait for an answer, the oldest first, and what List reports.
func (q *Queue) Pending() (pending []Proposal, problems []error, err error) {
	entries, problems, err := q.List()
	for _, e := range entries {
		if e.Answer == nil {
			pending = append(pending, e.Proposal)
		}
	}
	return pending, problems, err
}

// Get returns one proposal; ErrGone when it is not there.
func (q *Queue) Get(id string) (Entry, error) {
	if !idPattern.MatchString(id) {
		return Entry{}, fmt.Errorf("proposal %.64q: %w", id, ErrGone)
	}
	data, err := q.files.read(id + proposalSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, fmt.Errorf("proposal %s: %w", id, ErrGone)
	}
	if err != nil {
		return Entry{}, fmt.Errorf("queue %s: %w", q.files.dir, err)
	}
	p, err := parseProposal(id, data)
	if err != nil {
		return Entry{}, fmt.Errorf("queue %s: %s%s: %w", q.files.dir, id, proposalSuffix, err)
	}
	answer, err := q.answer(id)
	return Entry{Proposal: p, Answer: answer}, err
}

// answer returns nil while there is none.
func (q *Queue) answer(id string) (*Answer, error) {
	data, err := q.files.read(id + answerSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var a Answer
	if err == nil {
		err = errors.Join(unmarshal(data, &a), a.validate())
	}
	if err != nil {
		return nil, fmt.Errorf("queue %s: %s%s: %w", q.files.dir, id, answerSuffix, err)
	}
	return &a, nil
}

// Answer answers a proposal. It returns ErrAnswered if there is an answer already, and ErrGone if the proposal is not in the queue.
func (q *Queue) Answer(id string, a Answer) error {
	a.Time = cmp.Or(a.Time, q.now()).UTC()
	if err := a.validate(); err != nil {
		return fmt.Errorf("answer proposal %s: %w", id, err)
	}
	entry, err := q.Get(id)
	if err != nil {
		return err
	}
	if entry.Answer != nil {
		return fmt.Errorf("proposal %s: %w (%s)", id, ErrAnswered, entry.Answer.Status)
	}
	data, err := encode(a)
	if err != nil {
		return fmt.Errorf("answer proposal %s: %w", id, err)
	}
	err = q.files.create(id+answerSuffix, data)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("proposal %s: %w", id, ErrAnswered)
	}
	if err != nil {
		return fmt.Errorf("answer proposal %s: %w", id, err)
	}
	return nil
}

// Remove takes a proposal whose answer was delivered, and the answer, out of the queue.
func (q *Queue) Remove(id string) error {
	if !idPattern.MatchString(id) {
		return fmt.Errorf("proposal %.64q: %w", id, ErrGone)
	}
	// The proposal first: without its answer it would be pending again.
	if err := errors.Join(q.files.remove(id+proposalSuffix), q.files.remove(id+answerSuffix)); err != nil {
		return fmt.Errorf("remove proposal %s: %w", id, err)
	}
	return nil
}

// Wait returns a proposal's answer as soon as there is one. It fails when ctx ends or with ErrGone when
// the proposal is removed.
func (q *Queue) Wait(ctx context.Context, id string) (Answer, error) {
	changed, stop := q.watcher.subscribe()
	defer stop()
	for {
		entry, err := q.Get(id)
		if err != nil {
			return Answer{}, err
		}
		if entry.Answer != nil {
			return *entry.Answer, nil
		}
		select {
		case <-ctx.Done():
			return Answer{}, context.Cause(ctx)
		case <-changed:
		case <-time.After(q.watcher.rescan()):
		}
	}
}

// sweep removes leftovers of crashes, stale answers, and, if there are more than maxAnswered or need more bytes would not fit, further
// answered proposals, the oldest first. It returns the bytes left in the directory. Failed removals are tried again at
// the next submission.
func (q *Queue) sweep(entries []Entry, need int64) (used int64, err error) {
	sizes, err := q.files.sizes()
	if err != nil {
		return 0, err
	}
	for name, size := range sizes {
		if used += size; q.isLeftover(name) && q.files.remove(name) == nil {
			used -= size
		}
	}
	answered := slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Answer == nil })
	for i, e := range answered {
		crowded := len(answered)-i > maxAnswered || used+need > q.maxBytes
		if (crowded || e.Stale(q.now())) && q.Remove(e.Proposal.ID) == nil {
			used -= sizes[e.Proposal.ID+proposalSuffix] + sizes[e.Proposal.ID+answerSuffix]
		}
	}
	return used, nil
}

func (q *Queue) isLeftover(name string) bool {
	id, isAnswer := strings.CutSuffix(name, answerSuffix)
	if !isAnswer && !strings.HasPrefix(name, tempPrefix) {
		return false
	}
	if isAnswer {
		if _, err := q.files.root.Lstat(id + proposalSuffix); !errors.Is(err, fs.ErrNotExist) {
			return false
		}
	}
	info, err := q.files.root.Lstat(name)
	return err == nil && q.now().Sub(info.ModTime()) > tempAge
}
