// Package pass makes one pass over the bottles: it observes what runs, works out what is desired, plans the difference and carries
// it out.
package pass
