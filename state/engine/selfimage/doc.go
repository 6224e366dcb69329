// Package selfimage makes a container image that contains nothing but one static executable. The built-in sidecars run
// in such an image of bottled itself, so they need no registry, no builder and no download.
package selfimage
