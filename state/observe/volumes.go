package observe

import (
	"github.com/bot-bottle/bottled/state"
	"github.com/bot-bottle/bottled/state/engine"
	"github.com/bot-bottle/bottled/state/store"
)

// ObservedVolume is an observed volume of the owner.
type ObservedVolume struct {
	engine.ObservedVolume
	// Declared is true if the last declaration of its bottle has it.
	Declared bool
	// Disposable is true if that declaration says that the volume goes with the bottle. A volume whose declaration is not known is kept.
	Disposable bool
}

// classifyVolumes returns the volumes with what the records of their bottles say of them. A volume's labels can't say it: they never change.
func (o Observer) classifyVolumes(volumes []engine.ObservedVolume) []ObservedVolume {
	var all []ObservedVolume
	records := map[string]state.Bottle{}
	for _, v := range volumes {
		b, read := records[v.Slug()]
		if !read {
			// A record that can't be read says nothing. What is wrong with it is found when the bottle is made or shown.
			b, _, _ = store.ReadRecord(o.Settings, v.Slug())
			records[v.Slug()] = b
		}
		all = append(all, ObservedVolume{v, b.HasVolume(v.Name), b.IsDisposable(v.Name)})
	}
	return all
}
