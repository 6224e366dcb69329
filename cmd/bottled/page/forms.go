package page

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state"
)

// confirmation asks before something is lost.
type confirmation struct{ question, button string }

func (c *confirmation) Error() string { return c.question }

func (c *confirmation) notice(r *http.Request, s *Session) notice {
	fields := map[string]string{"confirmed": "yes"}
	for name := range r.PostForm {
		fields[name] = r.PostForm.Get(name)
	}
	return notice{frame: frame{Title: c.button, Session: s}, Heading: c.button, Text: c.question, Confirm: c.button, Fields: fields}
}

// decide decides about a proposal.
func (p *Page) decide(ctx context.Context, r *http.Request, s *Session) (string, error) {
	id, form := r.PathValue("id"), r.PostForm
	request := reconciler.DecisionRequest{Notes: strings.ReplaceAll(strings.TrimSpace(form.Get("note")), "\r\n", "\n")}
	switch form.Get("decision") {
	case "approve":
		request.Approve, request.Digest = true, form.Get("digest")
		request.AllowNewUpstream, request.Secret = form.Get("allow-new-upstream") == "yes", form.Get("secret")
		if request.Digest == "" {
			return "", fmt.Errorf("%w: the form does not say what was shown", errForm)
		}
	case "approve-hour":
		request.Approve, request.Digest, request.For = true, form.Get("digest"), time.Hour
	case "edit":
		edited := editedOf(form)
		request.Approve, request.Digest, request.Edited = true, form.Get("digest"), &edited
		request.AllowNewUpstream = form.Get("allow-new-upstream") == "yes"
	case "reject":
		if request.Notes == "" {
			return "", fmt.Errorf("%w: say why, for the agent: write a note", errForm)
		}
	default:
		return "", fmt.Errorf("%w: nothing is decided", errForm)
	}
	if err := p.Controller.Decide(ctx, s.User, id, request); err != nil {
		return "", err
	}
	p.reviews.forget(id)
	return "/proposals/" + url.PathEscape(id), nil
}

// editedOf returns an edited file with the line ends that the file had: browsers send CRLF.
func editedOf(form url.Values) string {
	text := strings.ReplaceAll(form.Get("edited"), "\r\n", "\n")
	if form.Get("line-ends") == "crlf" {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// lost are what is lost by an order, for the question before it.
var lost = map[reconciler.Order]string{
	reconciler.OrderRestart: "The containers of bottle %s are stopped and started. What its agent is doing is interrupted.",
	reconciler.OrderSuspend: "The containers of bottle %s are stopped, until somebody resumes it or its manifest changes. What its agent is doing is interrupted.",
	reconciler.OrderCut:     "Bottle %s loses its way out, until somebody resumes it. Requests under way break off.",
}

// order gives an order for a bottle.
func (p *Page) order(ctx context.Context, r *http.Request, s *Session) (string, error) {
	bottle, order := r.PathValue("bottle"), reconciler.Order(r.PathValue("order"))
	if question, loses := lost[order]; loses && r.PostForm.Get("confirmed") != "yes" {
		return "", &confirmation{fmt.Sprintf(question, bottle), strings.ToUpper(string(order[:1])) + string(order[1:]) + " " + bottle}
	}
	if err := p.Controller.Order(ctx, s.User, bottle, order, state.ComponentName(r.PostForm.Get("component"))); err != nil {
		return "", err
	}
	return "/bottles/" + url.PathEscape(bottle), nil
}

// allow has a bottle reach a host.
func (p *Page) allow(ctx context.Context, r *http.Request, s *Session) (string, error) {
	bottle, form := r.PathValue("bottle"), r.PostForm
	request := reconciler.AllowRequest{Host: strings.TrimSpace(form.Get("host")), Notes: strings.TrimSpace(form.Get("note"))}
	if form.Get("for") == "hour" {
		request.For = time.Hour
	}
	id, err := p.Controller.Allow(ctx, s.User, bottle, request)
	if err != nil {
		return "", err
	}
	return "/bottles/" + url.PathEscape(bottle) + "?done=" + url.QueryEscape(id) + "#traffic", nil
}
