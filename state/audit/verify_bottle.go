package audit

import (
	"path/filepath"
	"slices"
)

// place is where a record is.
type place struct {
	file string
	line uint64
	hash digest
}

// places are where records are, by their number, for the numbers that matter: after a log was renamed by hand, two files may have some.
type places map[uint64][]place

func (p places) find(l link) (place, bool) {
	at := slices.IndexFunc(p[l.seq], func(at place) bool { return at.hash == l.hash })
	if at < 0 {
		return place{}, false
	}
	return p[l.seq][at], true
}

// bottle verifies the files of a bottle's log.
func (v *verifier) bottle(bottle string) error {
	name := bottle + ".jsonl"
	files, err := openFiles(v.Dir, name, v.archives[name])
	if err != nil {
		return err
	}
	defer files.close()
	heads := v.heads[bottle]
	if heads == nil {
		heads = &bottleHeads{}
	}
	records := places{}
	for _, n := range heads.noted {
		records[n.seq] = nil
	}
	for _, f := range files {
		records[f.start.seq], records[f.begin(link{}).seq] = nil, nil
	}
	var head link // of the file that goes furthest
	for _, file := range files {
		if file.start.seq > 0 {
			v.junction(file, head, records, heads)
		}
		f := &fileCheck{verifier: v, path: file.path, records: records}
		if err := f.run(file, file.begin(head)); err != nil {
			return err
		}
		if f.head.seq > head.seq {
			head = f.head
		}
	}
	live := filepath.Join(v.Dir, name)
	v.judgeHeads(live, records, heads)
	switch {
	case heads.last == 0 && head.seq > 0:
		v.note(live, 0, "the log of heads has nothing about it yet")
	case heads.last > head.seq:
		v.missing(live, 0, head.seq+1, heads.last, heads)
	}
	return nil
}

// junction verifies that a file continues those before it, which go to head.
func (v *verifier) junction(file logFile, head link, records places, heads *bottleHeads) {
	begin := file.begin(head)
	_, exists := records.find(begin)
	twice, repeated := records.find(file.start.link)
	switch {
	case repeated:
		v.find(file.path, 1, "record %d is also in %s:%d: one of the files is a copy", file.start.seq, twice.file, twice.line)
	case begin.seq > head.seq:
		v.missing(file.path, 1, head.seq+1, begin.seq, heads)
		v.judgeBegin(file.path, begin, heads)
	case begin == head:
	case exists || begin == link{}:
		v.note(file.path, 1, "renamed by hand: it goes on after record %d, though the file before it goes to record %d. No record is missing; use bottled audit archive",
			begin.seq, head.seq)
	default:
		v.find(file.path, 1, "it does not continue the file before it, which goes to record %d: its record %d has another hash", head.seq, begin.seq)
	}
}

// judgeBegin compares the record that a file continues, and that is in none of the files, with what the log of heads has.
func (v *verifier) judgeBegin(path string, begin link, heads *bottleHeads) {
	known, same := false, false
	for _, n := range heads.noted {
		if n.seq == begin.seq {
			known, same = true, same || n.hash == begin.hash
		}
	}
	if known && !same {
		v.find(path, 1, "it does not continue record %d that the log of heads has", begin.seq)
	}
}

// judgeHeads verifies that the records that the log of heads has are in the files. Those whose number is in none have been reported.
func (v *verifier) judgeHeads(live string, records places, heads *bottleHeads) {
	noted := map[uint64][]digest{}
	for _, n := range heads.noted {
		noted[n.seq] = append(noted[n.seq], n.hash)
	}
	for _, n := range heads.noted {
		if _, found := records.find(n.link); found || len(records[n.seq]) == 0 {
			continue
		}
		other := slices.IndexFunc(records[n.seq], func(at place) bool { return !slices.Contains(noted[n.seq], at.hash) })
		if other < 0 {
			v.find(live, 0, "record %d with the hash %v, which the log of heads has, is in none of the files", n.seq, n.hash)
			continue
		}
		at := records[n.seq][other]
		v.find(at.file, at.line, "record %d is another one than the log of heads has: it, or one before it, was rewritten", n.seq)
		records[n.seq][other].hash = n.hash // reported
	}
}

func (v *verifier) excused(record uint64, heads *bottleHeads) bool {
	at := heads.notedAt(record)
	return !v.Since.IsZero() && !at.IsZero() && at.Before(v.Since)
}

// missing reports records that are in none of the files, unless they are excused.
func (v *verifier) missing(path string, line, from, to uint64, heads *bottleHeads) {
	if v.excused(to, heads) {
		v.note(path, line, "records %d to %d are in none of the files, and older than --since", from, to)
		return
	}
	v.find(path, line, "records %d to %d are in none of the files. If they were archived, name their file with --archive", from, to)
}
