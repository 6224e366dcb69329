// Package v1alpha1 has the types of a manifest: what people write. It has no rules and reads nothing.
package v1alpha1
