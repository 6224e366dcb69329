package source

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/bot-bottle/bottled/manifests/parse"
	"github.com/bot-bottle/bottled/manifests/safepath"
)

// readFile reads a manifest file. Neither data nor a problem means that the file is gone; of one that is too large there are both.
func readFile(f file) ([]byte, *parse.Problem) {
	data, problem := readData(f)
	switch {
	case problem != nil:
		return nil, problem
	case len(data) > parse.MaxFileSize:
		return data, f.Problem(1, 1, fmt.Sprintf("it is larger than %d KiB", parse.MaxFileSize>>10), "split it into smaller files, one bottle each")
	}
	if problem := parse.CheckText(f.Location, data); problem != nil {
		return nil, problem
	}
	return data, nil
}

// readData reads whatever is in a file, but at most some more than a manifest may have.
func readData(f file) ([]byte, *parse.Problem) {
	if f.unreachable.Reason != "" {
		return nil, f.Problem(1, 1, f.unreachable.Reason, f.unreachable.Fix)
	}
	if !f.mode.IsRegular() {
		return nil, f.Problem(1, 1, "it is not a regular file", "replace it by one, or move it away")
	}
	data, err := readRegular(f)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, f.Problem(1, 1, "it can't be read: "+reasonOf(err).Error(), "give bottled the permission to read it, or move it away")
	}
	return bytes.TrimPrefix(data, []byte("\ufeff")), nil
}

// errReplaced means that a file is another one than when it was listed: the listing that follows each reading sees that.
var errReplaced = errors.New("it was replaced while it was read")

// readRegular reads the file that was listed, and at most one byte more than a manifest may have.
func readRegular(f file) ([]byte, error) {
	o, err := safepath.Open(f.real)
	if err != nil {
		return nil, err
	}
	defer o.Close()
	if o.ID != f.id {
		return nil, errReplaced
	}
	if f.instead != nil {
		return f.instead.Content, nil
	}
	return o.ReadUpTo(parse.MaxFileSize + 1)
}
