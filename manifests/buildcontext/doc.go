// Package buildcontext reads what an image is built from: the files of a directory, as `docker build` takes them. It knows
// which files count (.dockerignore), a digest of them all, and the tar archive that an engine builds from. Symbolic links are
// part of a context as links; nothing outside of the directory is ever read.
package buildcontext
