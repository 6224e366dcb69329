package docker

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bot-bottle/bottled/state/engine"
)

// Usage asks once. A rate would take two samples, and a second between them.
func (e *Engine) Usage(ctx context.Context, id string) (engine.Usage, error) {
	response, err := e.client.ContainerStatsOneShot(ctx, id)
	if err != nil {
		return engine.Usage{}, wrap(err, "get what container %s uses", id)
	}
	var stats container.StatsResponse
	if err := errors.Join(json.NewDecoder(response.Body).Decode(&stats), response.Body.Close()); err != nil {
		return engine.Usage{}, wrap(err, "get what container %s uses", id)
	}
	return usageOf(stats), nil
}

// usageOf leaves out the page cache that is not in use, as docker stats does. Its name depends on the version of cgroups.
func usageOf(s container.StatsResponse) engine.Usage {
	cache, found := s.MemoryStats.Stats["total_inactive_file"]
	if !found {
		cache = s.MemoryStats.Stats["inactive_file"]
	}
	return engine.Usage{
		CPU:         time.Duration(s.CPUStats.CPUUsage.TotalUsage),                //nolint:gosec // nanoseconds of less than 292 years
		Memory:      int64(s.MemoryStats.Usage - min(cache, s.MemoryStats.Usage)), //nolint:gosec // less than there is memory
		MemoryLimit: int64(min(s.MemoryStats.Limit, 1<<62)),
		Processes:   int(s.PidsStats.Current), //nolint:gosec // less than the kernel's limit
	}
}
