package audit

import (
	"errors"
	"io"
)

// Contains reports whether the log of a bottle has a line of which is returns true. It reads the whole file that is not archived.
func Contains(dir, bottle string, is func(line []byte) bool) (found bool, err error) {
	r, err := OpenReader(dir, bottle)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		line, err := r.nextLine()
		if line == nil || err != nil {
			return false, err
		}
		if is(line) {
			return true, nil
		}
	}
}

// Last calls do for the records in about the last n bytes of the log of a bottle, the oldest first.
func Last(dir, bottle string, n int64, do func(Record)) (err error) {
	r, err := OpenReader(dir, bottle)
	if err != nil || !r.Exists() {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	info, err := r.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > n {
		if _, err := r.file.Seek(-n, io.SeekEnd); err != nil {
			return err
		}
		if _, err := r.nextLine(); err != nil { // the rest of a line
			return err
		}
	}
	for {
		record, there, err := r.Next()
		if !there || err != nil {
			return err
		}
		do(record)
	}
}
