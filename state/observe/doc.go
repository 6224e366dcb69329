// Package observe takes snapshots of the engine and the host ([Observer]), caches inspections ([Cache]), and compares
// containers and networks with their declarations ([Diff], [DiffNetwork], [SessionDrift]). It never changes anything on
// the engine.
package observe
