// Command upstream is the internet of package clients' bottle: stand-ins for public services, which answer as those do in what their
// clients depend on. Each has a host name, and serves HTTP and HTTPS:
//
//	api.model.example   a model's API: JSON, server-sent events, uploads
//	git.example         Git's smart HTTP protocol, by git's own server program
//	npm.example         an npm registry
//	pypi.example        Python package indexes: /simple/, whose files are at files.example, and /private/simple/, which has its own
//	goproxy.example     Go module proxies: / and /private/
//	cargo.example       a sparse registry of Rust crates, /crates/
//	files.example       a store of files with signed addresses
//	docs.example        a public site
//
// The first three, cargo.example, and what is private, want the token. Every request is a line on stdout before it is answered: its method, its
// URL, and auth= with none, token or other. The model's API also logs the bodies that arrived whole.
package main
