package clients

var pythonRows = []row{
	{
		client: "Python", does: "asks a route, and opens an HTTPS page, by `urllib`", gets: "both",
		script: `python3 - <<'EOF'
import os, urllib.request as u
for url in os.environ["ANTHROPIC_BASE_URL"] + "v1/models?urllib", "https://docs.example/":
    print(u.urlopen(url).read().decode())
EOF`,
		prints:   []string{"model-1", "the documentation"},
		upstream: []string{"/v1/models?urllib auth=token"},
	},
	{
		client: "Python", does: "opens a page of a host that is not allowed, by `urllib`", gets: "an error that says why",
		script: `python3 -c 'import urllib.request as u; u.urlopen("https://other.example/")'`, fails: true,
		prints: []string{refusal},
	},
	{
		client: "Requests", does: "sends JSON to a route, and opens an HTTPS page", gets: "both",
		script: `python3 - <<'EOF'
import os, requests
print(requests.post(os.environ["ANTHROPIC_BASE_URL"] + "v1/messages?requests", json={"messages": []}).json())
print(requests.get("https://docs.example/").text)
EOF`,
		prints:   []string{"'bytes': 16", "the documentation"},
		upstream: []string{"/v1/messages?requests auth=token"},
	},
	{
		client: "pip", does: "installs by the role `pip-index`, whose pages name the upstream", gets: "the package, by the route",
		script: `python3 -m pip install -q --target . welcome
python3 -c 'import welcome; print(welcome.GREETING)'`,
		prints: []string{"installed"},
		upstream: []string{
			"GET https://pypi.example/private/simple/welcome/ auth=token",
			"GET https://pypi.example/private/files/welcome-1.0-py3-none-any.whl auth=token",
		},
	},
	{
		client: "pip", does: "installs from an allowed index whose files are at another allowed host", gets: "the package",
		script: `python3 -m pip install -q --target . --index-url https://pypi.example/simple/ greeting
python3 -c 'import greeting; print(greeting.GREETING)'`,
		prints:   []string{"installed"},
		upstream: []string{"GET https://pypi.example/simple/greeting/ auth=none", "GET https://files.example/pypi/greeting-1.0-py3-none-any.whl auth=none"},
	},
}

var javaRows = []row{
	{
		client: "Java", does: "sends JSON to a route, and opens HTTP and HTTPS pages, by `HttpClient` (it offers h2c)", gets: "all",
		script: `java -XX:TieredStopAtLevel=1 \
	/programs/Client.java "${ANTHROPIC_BASE_URL}v1/messages?java" http://docs.example/ https://docs.example/`,
		prints:   []string{`200 {"bytes":15`, "200 the documentation\n\n200 the documentation\n"},
		upstream: []string{"POST https://api.model.example/v1/messages?java auth=token"},
	},
}

var goRows = []row{
	{
		client: "Go", does: "asks a route, and opens an HTTPS page, by `net/http`", gets: "both",
		script: `/bottled-demo fetch "${ANTHROPIC_BASE_URL}v1/models?go"
/bottled-demo fetch https://docs.example/`,
		prints:   []string{"model-1", "the documentation"},
		upstream: []string{"/v1/models?go auth=token"},
	},
	{
		client: "Go", does: "downloads a private module by the role `goproxy`, with `GONOSUMDB`", gets: "the module, by the route",
		script: `export GONOSUMDB='*' GOPATH=$PWD
go mod download -x example.org/private@v1.0.0
cat pkg/mod/example.org/private@v1.0.0/doc.go`,
		prints:   []string{"package greeting"},
		upstream: []string{"GET https://goproxy.example/private/example.org/private/@v/v1.0.0.zip auth=token"},
	},
	{
		client: "Go", does: "downloads a module from an allowed proxy (`GOPROXY`)", gets: "the module",
		script: `export GOPROXY=https://goproxy.example GONOSUMDB='*' GOPATH=$PWD
go mod download -x example.org/greeting@v1.0.0
cat pkg/mod/example.org/greeting@v1.0.0/doc.go`,
		prints:   []string{"package greeting"},
		upstream: []string{"GET https://goproxy.example/example.org/greeting/@v/v1.0.0.zip auth=none"},
	},
	{
		client: "Go", does: "opens a page of a host that is not allowed, by `net/http`", gets: "an error that says why",
		script: `/bottled-demo fetch https://other.example/`, fails: true,
		prints: []string{refusal},
	},
}

var cargoRows = []row{
	{
		client: "Cargo", does: "builds with a crate of a project's registry, by the role `cargo-registry`", gets: "the crate, by the route; `Cargo.lock` names the registry itself",
		script: cargoProject + `echo 'greeting = { version = "1", registry = "acme" }' >> Cargo.toml
cargo run -q
cat Cargo.lock`,
		prints: []string{"built", `source = "sparse+https://cargo.example/crates/"`},
		upstream: []string{
			"GET https://cargo.example/crates/config.json auth=token", "GET https://cargo.example/crates/gr/ee/greeting auth=token",
			"GET https://cargo.example/crates/dl/greeting/1.0.0 auth=token",
		},
	},
	{
		client: "Cargo", does: "takes the place of crates.io from a route, with `source.crates-io.replace-with`", gets: "the crate, by the route; `Cargo.lock` names crates.io",
		script: cargoProject + `echo 'mirrored = "1"' >> Cargo.toml
cargo fetch --config 'source.crates-io.replace-with = "sparse+http://cred-proxy:9099/crates/"'
cat Cargo.lock`,
		prints:   []string{`source = "registry+https://github.com/rust-lang/crates.io-index"`},
		upstream: []string{"GET https://cargo.example/crates/dl/mirrored/1.0.0 auth=token"},
	},
	{
		client: "Cargo", does: "publishes with `--index` and a placeholder for the token", gets: "the crate is in the registry",
		script: cargoProject + `sed -i 's/"mine"/"published"/; s/0.1.0/2.0.0/' Cargo.toml
cargo publish --allow-dirty --no-verify --index sparse+http://cred-proxy:9099/crates/ --token bottled-placeholder`,
		prints:   []string{"Published published v2.0.0"},
		upstream: []string{"PUT https://cargo.example/crates/api/v1/crates/new auth=token"},
	},
}

// cargoProject makes a program's package that knows a registry.
const cargoProject = `mkdir -p src .cargo
cat > .cargo/config.toml <<'EOF'
[registries.acme]
index = "sparse+https://cargo.example/crates/"
EOF
cat > Cargo.toml <<'EOF'
[package]
name = "mine"
version = "0.1.0"
edition = "2021"
license = "MIT"
description = "a program"
[dependencies]
EOF
echo 'fn main() { println!("{}", greeting::GREETING) }' > src/main.rs
`
