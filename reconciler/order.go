package reconciler

import "errors"

// Order is what an operator tells a running controller about one bottle.
type Order string

// The orders. They are kept until they are carried out or undone, over restarts of the controller, too.
const (
	OrderRestart Order = "restart" // stop and start the containers that run
	OrderSuspend Order = "suspend" // stop the containers, until the manifest changes
	OrderCut     Order = "cut"     // take the sidecars off the egress network, whatever the manifest says
	OrderResume  Order = "resume"  // undo suspend and cut
)

// ErrOrder marks an order that can't be carried out.
var ErrOrder = errors.New("not possible")
