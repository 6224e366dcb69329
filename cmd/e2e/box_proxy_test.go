package e2e

import (
	"net"
	"strings"

	"github.com/bot-bottle/bottled/cmd/e2e/harness"
	"github.com/bot-bottle/bottled/state"
)

// trickProxy sends pipelock requests that two programs could read in two ways, byte for byte.
func (b box) trickProxy() {
	gateway := b.gateway()
	b.names.resolve("inside.demo.example", b.address(state.Pipelock, "egress", "two"))
	b.names.resolve("host.demo.example", gateway)
	service := internetAddress + ":" + servicePort

	b.run("what is allowed goes through", func(b box) {
		b.works()
		b.granted("pipelock", b.ask(get("http://api.demo.example/", "api.demo.example"), "the API saw"))
		b.granted("pipelock", b.ask(connect("api.demo.example:443"), "200"))
		b.control(nil, "connect", service, net.JoinHostPort(gateway, servicePort))
	})
	b.run("Host confusion", func(b box) {
		b.granted("the URL's host", b.ask(get("http://api.demo.example/", service), `the API saw host "api.demo.example"`))
	})
	for name, request := range ambiguousRequests(gateway) {
		b.run(name, func(b box) { b.refused(b.ask(request, reached)) })
	}
	for name, target := range map[string]string{
		"CONNECT to an allowed name on another port":            "api.demo.example:" + servicePort,
		"CONNECT to an allowed name that resolves inside":       "inside.demo.example:443",
		"CONNECT to an allowed name of the host":                "host.demo.example:443",
		"CONNECT to an address":                                 service,
		"CONNECT to cloud metadata":                             metadataAddress + ":443",
		"CONNECT to pipelock itself":                            "127.0.0.1:8888",
		"CONNECT to another bottle's pipelock on its network":   net.JoinHostPort(b.address(state.Pipelock, "egress", "two"), "8888"),
		"CONNECT to another bottle's cred-proxy by its address": net.JoinHostPort(b.address(state.CredProxy, "net", "two"), "9099"),
	} {
		b.run(name, func(b box) { b.refused(b.ask(connect(target), "200")) })
	}
	b.run("plain HTTP in a tunnel", func(b box) {
		tunnel := connect("api.demo.example:80")
		b.granted("the tunnel's host", b.ask(tunnel+get("/", "api.demo.example"), `the API saw host "api.demo.example"`))
		for _, elsewhere := range []string{get("http://"+service+"/", service), get("/", service), get("http://"+service+"/", "api.demo.example"), connect(service)} {
			b.refused(b.ask(tunnel+elsewhere, reached))
		}
	})
	b.run("rebinding", func(b box) {
		// Each second answer is the host. What was checked is what is dialled, so it is the API every other time.
		b.names.resolve("rebind.demo.example", apiAddress, gateway, apiAddress, gateway)
		for range 4 {
			b.denied("the agent", b.ask(get("http://rebind.demo.example:"+servicePort+"/", "rebind.demo.example"), reached))
		}
	})
	b.run("DNS tunnelling through pipelock", func(b box) {
		b.refused(b.ask(get("http://secret.leaked.test/", "secret.leaked.test"), reached))
		b.refused(b.ask(connect("secret.leaked.test:443"), "200"))
		if got := b.names.with("leaked"); len(got) > 0 || len(b.names.with("api.demo.example")) == 0 {
			b.Errorf("queries that left: %v; of what is allowed: %v", got, b.names.with("api.demo.example"))
		}
	})
}

// get is a request to a proxy, for a URL and with a Host of its own.
func get(url, host string) string { return "GET " + url + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }

func connect(target string) string {
	return "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n"
}

// ambiguousRequests are for what is not allowed, and look to a careless reader as if they were for what is.
func ambiguousRequests(gateway string) map[string]string {
	service := internetAddress + ":" + servicePort
	return map[string]string{
		"absolute form with an allowed Host": get("http://"+service+"/", "api.demo.example"),
		"origin form":                        get("/", service),
		"user@host":                          get("http://api.demo.example@"+service+"/", "api.demo.example"),
		"user:password@host":                 get("http://api.demo.example:80@"+service+"/", "api.demo.example"),
		"fragment before the host":           get("http://api.demo.example#@"+service+"/", "api.demo.example"),
		"backslash before the host":          get(`http://api.demo.example\@`+service+"/", "api.demo.example"),
		"trailing dot":                       get("http://"+internetAddress+".:"+servicePort+"/", "api.demo.example"),
		"a decimal address":                  get("http://1572395043:"+servicePort+"/", "api.demo.example"),
		"an octal address":                   get("http://0135.0270.0330.043:"+servicePort+"/", "api.demo.example"),
		"a hexadecimal address":              get("http://0x5db8d823:"+servicePort+"/", "api.demo.example"),
		"an IPv6-mapped address":             get("http://[::ffff:"+internetAddress+"]:"+servicePort+"/", "api.demo.example"),
		"an address with wide dots":          get("http://93。184。216。35:"+servicePort+"/", "api.demo.example"),
		"punycode":                           get("http://xn--pi-7ia.demo.example:"+servicePort+"/", "api.demo.example"),
		"cloud metadata":                     get("http://"+metadataAddress+"/latest/meta-data/", metadataAddress),
		"cloud metadata, decimal":            get("http://2852039166/latest/meta-data/", metadataAddress),
		"an allowed name of the host":        get("http://host.demo.example:"+servicePort+"/", "host.demo.example"),
		"the host's gateway address":         get("http://"+net.JoinHostPort(gateway, servicePort)+"/", gateway),
	}
}

// gateway is the host's address on bottle one's egress network.
func (b box) gateway() string {
	b.Helper()
	gateway := b.e.Docker("inspect", "-f", `{{(index .NetworkSettings.Networks "`+b.e.Network("egress", "one")+`").Gateway}}`, b.e.Name(state.Pipelock, "one"))
	if net.ParseIP(gateway) == nil {
		b.Fatalf("the egress network's gateway is %q", gateway)
	}
	return gateway
}

// ask has the agent send pipelock a request, and says whether the answer has the text in it.
func (b box) ask(request, text string) []harness.Attempt {
	b.Helper()
	return b.e.AttackWith(request, b.e.Name(state.Agent, "one"), "request", "pipelock:8888", text)
}

// refused wants an answer that says no.
func (b box) refused(attempts []harness.Attempt) {
	b.Helper()
	b.denied("the agent", attempts)
	for _, a := range attempts {
		if !strings.HasPrefix(a.Error, "4") {
			b.Errorf("%q is not refused but answered with %.200s", a.Name, a.Error)
		}
	}
}
