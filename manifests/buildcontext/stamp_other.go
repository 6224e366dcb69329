//go:build !linux

package buildcontext

import "io/fs"

// stampOf knows no change time here, so a file is taken for changed when its size, mode or modification time is another one.
func stampOf(info fs.FileInfo) stamp {
	return stamp{mode: info.Mode(), size: info.Size(), mod: info.ModTime().UnixNano(), changed: info.ModTime().UnixNano()}
}
