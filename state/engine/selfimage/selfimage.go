package selfimage

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/bot-bottle/bottled/state/engine"
)

// Image is an image that contains one executable.
type Image struct {
	Ref  string // repository:digest of the executable, so a reference always means the same content
	path string
	name string
}

// Of describes the image of an executable; Load makes it. It fails for an executable that can't run in an empty image: not for this
// Linux architecture, or dynamically linked.
func Of(path, repository string) (*Image, error) {
	ref, err := reference(path, repository)
	if err != nil {
		return nil, fmt.Errorf("%s can't serve as the built-in sidecars' image: %w; build it with: GOOS=linux CGO_ENABLED=0 go build ./cmd/bottled", path, err)
	}
	return &Image{Ref: ref, path: path, name: filepath.Base(repository)}, nil
}

func reference(path, repository string) (string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("it is not a Linux executable: %w", err)
	}
	defer f.Close()
	if err := checkStatic(f); err != nil {
		return "", err
	}
	d, err := digest(f, path)
	if err != nil {
		return "", err
	}
	return repository + ":" + d[:16], nil
}

func checkStatic(f *elf.File) error {
	if want := machines[runtime.GOARCH]; f.Machine != want {
		return fmt.Errorf("it is for %s, the engine's host is %s", f.Machine, runtime.GOARCH)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("it is linked dynamically")
		}
	}
	return nil
}

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64, "arm": elf.EM_ARM, "riscv64": elf.EM_RISCV, "ppc64le": elf.EM_PPC64, "s390x": elf.EM_S390}

// digest returns a digest of the executable: that of the Go linker's build ID, which is a hash of the content, or else of the file.
// Hashing 20 MB takes a third of the time of a pass without changes.
func digest(f *elf.File, path string) (string, error) {
	if note := f.Section(".note.go.buildid"); note != nil {
		data, err := note.Data()
		if err != nil {
			return "", err
		}
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:]), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Load builds the image and loads it into the engine.
func (i *Image) Load(ctx context.Context, e engine.Engine) error {
	img, err := i.build()
	if err != nil {
		return fmt.Errorf("make image %s: %w", i.Ref, err)
	}
	tag, err := name.NewTag(i.Ref)
	if err != nil {
		return fmt.Errorf("make image %s: %w", i.Ref, err)
	}
	archive, in := io.Pipe()
	go func() { in.CloseWithError(tarball.Write(tag, img, in)) }()
	return errors.Join(e.LoadImage(ctx, archive), archive.Close())
}

// build builds the image reproducibly: the same executable gives the same image ID.
func (i *Image) build() (v1.Image, error) {
	data, err := os.ReadFile(i.path)
	if err != nil {
		return nil, err
	}
	var layerTar bytes.Buffer
	w := tar.NewWriter(&layerTar)
	if err := w.WriteHeader(&tar.Header{Name: i.name, Mode: 0o555, Size: int64(len(data)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(layerTar.Bytes())), nil
	}, tarball.WithCompressionLevel(1))
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, i.config(img))
}

func (i *Image) config(img v1.Image) *v1.ConfigFile {
	file, err := img.ConfigFile()
	if err != nil {
		panic("selfimage: an image made in memory has a configuration: " + err.Error())
	}
	file = file.DeepCopy()
	file.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	file.OS, file.Architecture = "linux", runtime.GOARCH
	file.Config = v1.Config{Entrypoint: []string{"/" + i.name}, User: "65532:65532"}
	return file
}
