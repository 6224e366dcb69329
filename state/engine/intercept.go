package engine

import (
	"context"
	"io"
	"time"

	"github.com/bot-bottle/bottled/state"
)

// Call is a call of one of the port's methods.
type Call struct {
	Verb   string // create_container, start_container, …
	Object string // ID, name or reference of the object; "" for a listing
}

// Interceptor wraps a call. Its error is returned to the caller; without a call of next the engine is not called.
type Interceptor func(ctx context.Context, c Call, next func(ctx context.Context) error) error

// Intercept returns an engine that passes every call through an interceptor, for metrics or fault injection. The methods of
// SessionRuntime are not intercepted.
func Intercept(e Engine, interceptor Interceptor) Engine { return intercepted{e, interceptor} }

type intercepted struct {
	Engine
	interceptor Interceptor
}

func (i intercepted) call(ctx context.Context, verb, object string, next func(ctx context.Context) error) error {
	return i.interceptor(ctx, Call{Verb: verb, Object: object}, next)
}

// callResult is call for a method with a result. On any error, the interceptor's too, it returns the zero value.
func callResult[T any](ctx context.Context, i intercepted, verb, object string, next func(ctx context.Context) (T, error)) (T, error) {
	var got T
	err := i.call(ctx, verb, object, func(ctx context.Context) (err error) {
		got, err = next(ctx)
		return err
	})
	if err != nil {
		var zero T
		return zero, err
	}
	return got, nil
}

func (i intercepted) Ping(ctx context.Context) error { return i.call(ctx, "ping", "", i.Engine.Ping) }

func (i intercepted) Info(ctx context.Context) (Info, error) {
	return callResult(ctx, i, "info", "", i.Engine.Info)
}

func (i intercepted) Events(ctx context.Context, since time.Time, handle func(Event)) error {
	return i.call(ctx, "events", "", func(ctx context.Context) error { return i.Engine.Events(ctx, since, handle) })
}

func (i intercepted) Containers(ctx context.Context, owner, slug string) ([]Summary, error) {
	return callResult(ctx, i, "list_containers", slug, func(ctx context.Context) ([]Summary, error) { return i.Engine.Containers(ctx, owner, slug) })
}

func (i intercepted) Networks(ctx context.Context) ([]ObservedNetwork, error) {
	return callResult(ctx, i, "list_networks", "", i.Engine.Networks)
}

func (i intercepted) Volumes(ctx context.Context, owner, slug string) ([]ObservedVolume, error) {
	return callResult(ctx, i, "list_volumes", slug, func(ctx context.Context) ([]ObservedVolume, error) { return i.Engine.Volumes(ctx, owner, slug) })
}

func (i intercepted) Images(ctx context.Context, refs []string) (map[string]string, error) {
	return callResult(ctx, i, "list_images", "", func(ctx context.Context) (map[string]string, error) { return i.Engine.Images(ctx, refs) })
}

func (i intercepted) Inspect(ctx context.Context, id string) (Detail, error) {
	return callResult(ctx, i, "inspect_container", id, func(ctx context.Context) (Detail, error) { return i.Engine.Inspect(ctx, id) })
}

func (i intercepted) Usage(ctx context.Context, id string) (Usage, error) {
	return callResult(ctx, i, "stats_container", id, func(ctx context.Context) (Usage, error) { return i.Engine.Usage(ctx, id) })
}

func (i intercepted) NetworkMembers(ctx context.Context, id string) ([]string, error) {
	return callResult(ctx, i, "inspect_network", id, func(ctx context.Context) ([]string, error) { return i.Engine.NetworkMembers(ctx, id) })
}

func (i intercepted) ContainerOwner(ctx context.Context, name string) (id, owner string, err error) {
	err = i.call(ctx, "container_owner", name, func(ctx context.Context) (err error) {
		id, owner, err = i.Engine.ContainerOwner(ctx, name)
		return err
	})
	return id, owner, err
}

func (i intercepted) CreateNetwork(ctx context.Context, n state.Network) (ObservedNetwork, error) {
	return callResult(ctx, i, "create_network", n.Name, func(ctx context.Context) (ObservedNetwork, error) { return i.Engine.CreateNetwork(ctx, n) })
}

func (i intercepted) RemoveNetwork(ctx context.Context, id string) error {
	return i.call(ctx, "remove_network", id, func(ctx context.Context) error { return i.Engine.RemoveNetwork(ctx, id) })
}

func (i intercepted) CreateVolume(ctx context.Context, v state.Volume) error {
	return i.call(ctx, "create_volume", v.Name, func(ctx context.Context) error { return i.Engine.CreateVolume(ctx, v) })
}

func (i intercepted) RemoveVolume(ctx context.Context, name string) error {
	return i.call(ctx, "remove_volume", name, func(ctx context.Context) error { return i.Engine.RemoveVolume(ctx, name) })
}

func (i intercepted) CreateContainer(ctx context.Context, c state.Container) (string, error) {
	return callResult(ctx, i, "create_container", c.Name, func(ctx context.Context) (string, error) { return i.Engine.CreateContainer(ctx, c) })
}

func (i intercepted) StartContainer(ctx context.Context, id string, mounts []state.Mount) error {
	return i.call(ctx, "start_container", id, func(ctx context.Context) error { return i.Engine.StartContainer(ctx, id, mounts) })
}

func (i intercepted) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	return i.call(ctx, "stop_container", id, func(ctx context.Context) error { return i.Engine.StopContainer(ctx, id, grace) })
}

func (i intercepted) RemoveContainer(ctx context.Context, id string) error {
	return i.call(ctx, "remove_container", id, func(ctx context.Context) error { return i.Engine.RemoveContainer(ctx, id) })
}

func (i intercepted) UnpauseContainer(ctx context.Context, id string) error {
	return i.call(ctx, "unpause_container", id, func(ctx context.Context) error { return i.Engine.UnpauseContainer(ctx, id) })
}

func (i intercepted) UpdateLimits(ctx context.Context, id string, l state.Limits) error {
	return i.call(ctx, "update_container", id, func(ctx context.Context) error { return i.Engine.UpdateLimits(ctx, id, l) })
}

func (i intercepted) Connect(ctx context.Context, id string, a state.Attachment) error {
	return i.call(ctx, "connect_network", id, func(ctx context.Context) error { return i.Engine.Connect(ctx, id, a) })
}

func (i intercepted) Disconnect(ctx context.Context, network, id string) error {
	return i.call(ctx, "disconnect_network", id, func(ctx context.Context) error { return i.Engine.Disconnect(ctx, network, id) })
}

func (i intercepted) LoadImage(ctx context.Context, archive io.Reader) error {
	return i.call(ctx, "load_image", "", func(ctx context.Context) error { return i.Engine.LoadImage(ctx, archive) })
}

func (i intercepted) PullImage(ctx context.Context, ref string) error {
	return i.call(ctx, "pull_image", ref, func(ctx context.Context) error { return i.Engine.PullImage(ctx, ref) })
}

func (i intercepted) BuildImage(ctx context.Context, b ImageBuild, archive io.Reader) error {
	return i.call(ctx, "build_image", b.Ref, func(ctx context.Context) error { return i.Engine.BuildImage(ctx, b, archive) })
}

func (i intercepted) Files(ctx context.Context, slug string) (map[string]map[string]state.ObservedFile, error) {
	return callResult(ctx, i, "read_files", slug, func(ctx context.Context) (map[string]map[string]state.ObservedFile, error) {
		return i.Engine.Files(ctx, slug)
	})
}

func (i intercepted) WriteFiles(ctx context.Context, dir state.Dir) error {
	return i.call(ctx, "write_files", dir.Path, func(ctx context.Context) error { return i.Engine.WriteFiles(ctx, dir) })
}

func (i intercepted) RemoveFiles(ctx context.Context, slug string) error {
	return i.call(ctx, "remove_files", slug, func(ctx context.Context) error { return i.Engine.RemoveFiles(ctx, slug) })
}

func (i intercepted) Reload(ctx context.Context, id, config string) (Report, error) {
	return callResult(ctx, i, "reload", id, func(ctx context.Context) (Report, error) { return i.Engine.Reload(ctx, id, config) })
}

func (i intercepted) WaitReady(ctx context.Context, id string, r Readiness) (Report, error) {
	return callResult(ctx, i, "wait_ready", id, func(ctx context.Context) (Report, error) { return i.Engine.WaitReady(ctx, id, r) })
}

func (i intercepted) LastReport(ctx context.Context, id string, endedAt time.Time) (Report, error) {
	return callResult(ctx, i, "last_report", id, func(ctx context.Context) (Report, error) { return i.Engine.LastReport(ctx, id, endedAt) })
}
