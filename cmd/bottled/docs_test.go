package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const repository = "../.."

// TestDocLinks follows every relative link of the documentation, and every mention of a page in Go files, unit files and
// scripts: the file must be there, and so must the heading.
func TestDocLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^()\s]+)\)`)
	mention := regexp.MustCompile(`\bdocs/[\w/-]+\.md(#[\w-]*\w)?`)
	for _, file := range repositoryFiles(t, "") {
		text := readText(t, file)
		switch filepath.Ext(file) {
		case ".md":
			for _, m := range link.FindAllStringSubmatch(withoutCode(text), -1) {
				checkLink(t, file, filepath.Dir(file), m[1])
			}
		case ".go", ".service", ".yaml", ".yml", ".sh":
			if strings.HasSuffix(file, "_test.go") {
				continue // may hold trees of files that are made up
			}
			for _, target := range mention.FindAllString(text, -1) {
				checkLink(t, file, ".", target)
			}
		}
	}
}

// TestDocMap expects each page in docs to be linked from the map, docs/README.md.
func TestDocMap(t *testing.T) {
	content := readText(t, "docs/README.md")
	for _, file := range repositoryFiles(t, "docs") {
		page := strings.TrimPrefix(file, "docs/")
		if filepath.Ext(file) == ".md" && page != "README.md" && !strings.Contains(content, "]("+page+")") {
			t.Errorf("docs/README.md does not link %s", page)
		}
	}
}

// TestDocTests expects each test that the documentation or the Taskfile names to exist. A name before … is the beginning of several,
// and in the Taskfile every name may be.
func TestDocTests(t *testing.T) {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	named := regexp.MustCompile(`\b((?:Test|Fuzz|Benchmark)[A-Z]\w+)(…?)`)
	var tests []string
	pages := []string{"Taskfile.yml"}
	for _, file := range repositoryFiles(t, "") {
		switch {
		case strings.HasSuffix(file, "_test.go"):
			for _, m := range declared.FindAllStringSubmatch(readText(t, file), -1) {
				tests = append(tests, m[1])
			}
		case filepath.Ext(file) == ".md":
			pages = append(pages, file)
		}
	}
	for _, page := range pages {
		for _, m := range named.FindAllStringSubmatch(readText(t, page), -1) {
			isPrefix := m[2] != "" || page == "Taskfile.yml"
			if !slices.ContainsFunc(tests, func(test string) bool { return test == m[1] || isPrefix && strings.HasPrefix(test, m[1]) }) {
				t.Errorf("%s names %s, which does not exist", page, m[1])
			}
		}
	}
}

func checkLink(t *testing.T, file, base, target string) {
	t.Helper()
	path, anchor, _ := strings.Cut(target, "#")
	if strings.Contains(path, ":") {
		return // another site
	}
	linked := file
	if path != "" {
		linked = filepath.Join(base, path)
	}
	// pipelock's own documentation is called docs/configuration.md, too.
	if linked == "docs/configuration.md" {
		return
	}
	if _, err := os.Stat(filepath.Join(repository, linked)); err != nil {
		t.Errorf("%s links %s, which does not exist", file, target)
		return
	}
	if anchor != "" && !slices.Contains(anchors(readText(t, linked)), anchor) {
		t.Errorf("%s links %s: no such heading", file, target)
	}
}

// repositoryFiles are the files in a directory of the repository, without hidden directories other than .github and .ci.
func repositoryFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(repository, path)
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(entry.Name(), ".") && rel != "." && rel != ".github" && rel != ".ci"
		if entry.IsDir() && (hidden || entry.Name() == "testdata" || rel == "bin" || rel == "dist") {
			return filepath.SkipDir
		}
		if entry.Type().IsRegular() {
			files = append(files, rel)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are the fragments by which GitHub links a page's headings.
func anchors(page string) []string {
	dropped := regexp.MustCompile(`[^\p{L}\p{N}\p{M} _-]`)
	var names []string
	seen := map[string]int{}
	for line := range strings.Lines(withoutCode(page)) {
		level := len(line) - len(strings.TrimLeft(line, "#"))
		heading, found := strings.CutPrefix(line[level:], " ")
		if level == 0 || level > 6 || !found {
			continue
		}
		name := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), ""), " ", "-")
		if n := seen[name]; n > 0 {
			names = append(names, name+"-"+strconv.Itoa(n))
		} else {
			names = append(names, name)
		}
		seen[name]++
	}
	return names
}

// withoutCode is a page without its fenced blocks.
func withoutCode(page string) string {
	var text strings.Builder
	fenced := false
	for line := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if !fenced {
			text.WriteString(line)
		}
	}
	return text.String()
}
