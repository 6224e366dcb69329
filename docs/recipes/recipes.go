// Package recipes holds manifests and images for everyday agents and tools. People copy them from here, and `bottled init` writes them.
package recipes

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed */bottle.yaml */image/*
var files embed.FS

const (
	manifestFile = "bottle.yaml"
	imageDir     = "image" // what the manifest calls ./image
)

// Recipe is a bottle for an agent or a tool.
type Recipe struct{ Name string }

// All returns the recipes, by name.
func All() []Recipe {
	entries, err := files.ReadDir(".")
	if err != nil {
		panic(err) // the executable has no part of itself
	}
	var all []Recipe
	for _, e := range entries {
		all = append(all, Recipe{e.Name()})
	}
	return all
}

// Manifest returns the recipe's manifest for a bottle of another name. Its image is built from a directory of that name next to it.
func (r Recipe) Manifest(bottle string) (string, error) {
	data, err := files.ReadFile(path.Join(r.Name, manifestFile))
	if err != nil {
		return "", err
	}
	quoted, err := yaml.Marshal(bottle) // no, on and 1 are names, too
	if err != nil {
		return "", fmt.Errorf("bottle %s: %w", bottle, err)
	}
	return strings.NewReplacer(
		"  name: "+r.Name+"\n", "  name: "+string(quoted),
		"context: ./"+imageDir, "context: ./"+bottle,
		imageDir+"/", bottle+"/",
		"bottled run "+r.Name+" ", "bottled run "+bottle+" ",
		"bottled traffic "+r.Name+" ", "bottled traffic "+bottle+" ",
		"/srv/work/"+r.Name+",", "/srv/work/"+bottle+",",
	).Replace(string(data)), nil
}

// Image returns the files that the recipe's image is built from, by path; none where the image is not built.
func (r Recipe) Image() (map[string][]byte, error) {
	image := map[string][]byte{}
	dir := path.Join(r.Name, imageDir)
	if _, err := fs.Stat(files, dir); err != nil {
		return image, nil //nolint:nilerr // the image is somebody else's
	}
	err := fs.WalkDir(files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		image[strings.TrimPrefix(name, dir+"/")], err = files.ReadFile(name)
		return err
	})
	return image, err
}
