package apitest

import (
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// Now is the time of the statuses made here.
var Now = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// Component is the status of a component.
func Component(name state.ComponentName, engineState string, restarts int) reconciler.ComponentStatus {
	return reconciler.ComponentStatus{Component: name, State: engineState, Ready: engineState == "running", Image: "img:1", Restarts: restarts}
}

// Bottle is the status of a bottle as the engine shows it.
func Bottle(name, reason, message string, components ...reconciler.ComponentStatus) reconciler.BottleStatus {
	return reconciler.BottleStatus{Slug: name, Ready: reason == reconciler.ReasonReady, Reason: reason, Message: message, Components: components}
}

// WithConditions adds the conditions that a controller reports. They last for the duration; a message makes its condition true.
func WithConditions(b reconciler.BottleStatus, lasting time.Duration, reconciling, stalled string) reconciler.BottleStatus {
	at := Now.Add(-lasting)
	status := map[bool]string{true: "True", false: "False"}
	b.Conditions = []reconciler.Condition{
		{Type: reconciler.ConditionReady, Status: status[b.Ready], Reason: b.Reason, Message: b.Message, LastTransitionTime: at},
		{Type: reconciler.ConditionReconciling, Status: status[reconciling != ""], Reason: "r", Message: reconciling, LastTransitionTime: at},
		{Type: reconciler.ConditionStalled, Status: status[stalled != ""], Reason: "s", Message: stalled, LastTransitionTime: at},
	}
	return b
}

// Controller is the status of a controller that has completed its first resync and reaches its engine.
func Controller() *reconciler.ControllerStatus {
	return &reconciler.ControllerStatus{Syncs: 1, Owner: "default", Engine: reconciler.EngineStatus{Reachable: true, Since: Now.Add(-time.Hour)}}
}

// Status is what such a controller reports about bottles.
func Status(bottles ...reconciler.BottleStatus) reconciler.Status {
	return reconciler.Status{Controller: Controller(), Bottles: bottles}
}
