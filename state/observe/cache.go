package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/owndir"
)

// Cache holds the results of inspections, so that a pass over unchanged containers needs none. It is an optimisation: without it the
// next pass inspects again. A change that leaves no trace in a listing (limits, by docker update) is found by a deep observation.
type Cache struct {
	path string

	mu      sync.Mutex
	changed bool
	entries map[string]cacheEntry    // by container ID
	reports map[string]engine.Report // by container ID, from the current run
	// unresponsive are the containers that did not acknowledge a reload, by ID.
	unresponsive map[string]bool
}

// cacheFormat is the version of the fields that an inspection reads, part of the fingerprint: it invalidates the entries of other
// versions.
const cacheFormat = "6"

type cacheEntry struct {
	Slug       string
	Print      string // fingerprint of the Summary that the entry belongs to
	Detail     engine.Detail
	Config     string
	ReportedAt time.Time
}

// OpenCache reads the cache file; a missing or unreadable one is an empty cache.
func OpenCache(path string) *Cache {
	c := &Cache{path: path, entries: map[string]cacheEntry{}, reports: map[string]engine.Report{}, unresponsive: map[string]bool{}}
	data, err := owndir.ReadFile(path)
	if err != nil || json.Unmarshal(data, &c.entries) != nil || c.entries == nil {
		c.entries = map[string]cacheEntry{}
	}
	return c
}

// fingerprint returns a digest that changes whenever the container is started, stopped, renamed, connected or disconnected: each time
// its endpoints get new IDs (measured on Docker 20.10).
func fingerprint(s engine.Summary) string {
	parts := []string{s.Name, s.State, s.ImageID + " " + cacheFormat}
	for _, e := range s.Endpoints {
		parts = append(parts, e.Network+"/"+e.NetworkID+"/"+e.ID)
	}
	slices.Sort(parts[3:])
	return state.DigestJSON(parts)
}

func (c *Cache) get(s engine.Summary) (ObservedContainer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.entries[s.ID]
	if !ok || entry.Print != fingerprint(s) {
		return ObservedContainer{}, false
	}
	found := ObservedContainer{Summary: s, Detail: entry.Detail, Config: entry.Config, ReportedAt: entry.ReportedAt}
	if r, ok := c.reports[s.ID]; ok && r.At.After(entry.Detail.EndedAt) {
		found.Config, found.ReportedAt = r.Config, r.At
	}
	return found, true
}

// put replaces the entries of one bottle, or with slug "" all entries.
func (c *Cache) put(containers []ObservedContainer, slug string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := make(map[string]cacheEntry, len(containers))
	if slug != "" {
		for id, e := range c.entries {
			if e.Slug != slug {
				fresh[id] = e
			}
		}
	}
	for _, o := range containers {
		fresh[o.ID] = cacheEntry{Slug: o.Slug(), Print: fingerprint(o.Summary), Detail: o.Detail, Config: o.Config, ReportedAt: o.ReportedAt}
		old, ok := c.entries[o.ID]
		c.changed = c.changed || !ok || old.Print != fresh[o.ID].Print || old.Config != o.Config
	}
	c.changed = c.changed || len(fresh) != len(c.entries)
	for id := range c.entries {
		if _, exists := fresh[id]; !exists {
			delete(c.reports, id)
			delete(c.unresponsive, id)
		}
	}
	c.entries = fresh
}

// SetReport records a sidecar's report, which supersedes the inspected one.
func (c *Cache) SetReport(id string, r engine.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports[id] = r
	c.changed = true
}

// Slug returns the name of the bottle that a container belongs to; "" when unknown.
func (c *Cache) Slug(id string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id].Slug
}

// MarkUnresponsive notes that a container did not acknowledge a reload, so that the next plan replaces it.
func (c *Cache) MarkUnresponsive(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unresponsive[id] = true
}

func (c *Cache) isUnresponsive(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.unresponsive[id]
}

// Forget drops an entry, so that the next pass inspects the container: for a change that no listing shows.
func (c *Cache) Forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, id)
}

// reported returns the last report of a running sidecar, from the cache or its log; the zero Report when it has not reported.
func (c *Cache) reported(ctx context.Context, e engine.Engine, id string, endedAt time.Time) (engine.Report, error) {
	c.mu.Lock()
	r, ok := c.reports[id]
	c.mu.Unlock()
	if ok && r.At.After(endedAt) {
		return r, nil
	}
	return e.LastReport(ctx, id, endedAt)
}

// Save writes the cache if it changed.
func (c *Cache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed {
		return nil
	}
	data, err := json.Marshal(c.entries)
	if err != nil {
		return fmt.Errorf("save the inspection cache: %w", err)
	}
	if err := owndir.WriteFile(c.path, data, 0o600, nil); err != nil {
		return fmt.Errorf("save the inspection cache: %w", err)
	}
	c.changed = false
	return nil
}
