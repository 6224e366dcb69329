//go:build !linux

package edit

import (
	"errors"
	"os"
)

func (t *target) exchange(string) error { return errors.ErrUnsupported }

func (t *target) writable() error { return nil }

func (t *target) keepAttributes(*os.File) error { return nil }
