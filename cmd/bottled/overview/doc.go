// Package overview is what the screen (bottled top) and the page (bottled web) show of all bottles: which need attention, what agents ask
// for, and how one bottle is made up. It is pure: it turns status, proposals and activity into rows, and knows neither terminals nor HTML.
package overview
