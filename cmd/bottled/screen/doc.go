// Package screen is the screen of bottled top: what agents ask for and how all bottles are, one bottle in full, and the keys to act on both.
// Its Model turns messages into frames, and is pure but for the commands that it returns; what it shows and does comes through a Backend.
package screen
