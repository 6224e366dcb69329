package credproxy

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"

	model "github.com/bot-bottle/bottled/manifests/route"
)

// Judge decides about requests as cred-proxy does with some routes, by the same code, for people who want to know beforehand. Each
// route counts as one that has its token, and no rate limit counts.
type Judge struct{ table *table }

// Verdict is what cred-proxy would decide about a request.
type Verdict struct {
	Refusal  string // why it is refused, as the agent reads it; "" when it goes to the upstream
	Route    string // path of the route that it is on; "" for none
	Upstream string // of that route
}

// NewJudge makes a judge of a routes.json.
func NewJudge(routes []byte) (*Judge, error) {
	conf, err := model.Parse(routes)
	if err != nil {
		return nil, err
	}
	t := &table{}
	for _, c := range conf {
		r, err := routeOf(c)
		if err != nil {
			return nil, err
		}
		t.routes = append(t.routes, r)
	}
	t.sort()
	return &Judge{t}, nil
}

// Judge decides about a request without a body. uri is the path and the query. An error means that no client could send it.
func (j *Judge) Judge(method, uri string) (Verdict, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + uri + " HTTP/1.1\r\nHost: cred-proxy\r\n\r\n")))
	if err != nil {
		return Verdict{}, fmt.Errorf("no HTTP client can ask for it: %w", err)
	}
	x := &exchange{in: r}
	denied := x.admit(j.table)
	v := Verdict{}
	if denied != nil {
		v.Refusal = denied.reason
	}
	if x.route != nil {
		v.Route, v.Upstream = x.route.path, x.route.conf.Upstream
	}
	return v, nil
}
