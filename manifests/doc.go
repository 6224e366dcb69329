// Package manifests is the file format of bottled, in packages that build on each other. It knows nothing of Docker.
//
//	v1alpha1  what people write: the types
//	parse     YAML, JSON and Markdown → documents with positions and problems
//	rules     what is wrong in a document or between documents; defaults; the JSON Schema
//	source    files → snapshot; reading them again; watching them
//
// In addition, route has the types and rules of a cred-proxy route, buildcontext the files that an image is built from, gitsource a
// checkout of manifests, safepath the opening of paths that an agent may have changed, and scalar the rules of single values.
package manifests
