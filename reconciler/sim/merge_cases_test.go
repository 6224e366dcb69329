package sim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bot-bottle/bottled/reconciler"
	"github.com/bot-bottle/bottled/state/queue"
)

// upstreamed simulates a controller with one bottle whose manifest others merge.
func upstreamed(t *testing.T, manifest string, test func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	simulate(t, func(w *world) {
		t := w.t
		if err := os.Mkdir(dir+"/image", 0o700); err != nil {
			t.Fatal(err)
		}
		w.useFiles(dir, map[string]string{"a.yaml": manifest, "image/Dockerfile": dockerfile})
		w.upstream = &upstream{directory: w.files, pushes: true}
		w.run(nil)
		w.settle(10 * time.Second)
		test(t, w)
		w.settle(5 * time.Minute)
	})
}

// isMerging fails unless a proposal waits to be merged, and goes on doing so.
func (w *world) isMerging(id, when string) {
	w.t.Helper()
	w.pass(5 * time.Minute)
	if p := w.proposal(id); p.State != reconciler.ProposalMerging || w.answerTo(id) != nil {
		w.t.Fatalf("%s: %+v, %+v", when, p, w.answerTo(id))
	}
}

// TestRejectWhatCantBePushed at any time, for somebody who does not wait for long.
func TestRejectWhatCantBePushed(t *testing.T) {
	upstreamed(t, supervised, func(t *testing.T, w *world) {
		w.upstream.down = errors.New("give credentials that may push")
		id := w.askHost("https://registry.npmjs.org")
		w.decide(id, approveIt)
		w.isMerging(id, "approved")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.controller.Decide(ctx, "bert", id, reconciler.DecisionRequest{Notes: "never mind"}); err != nil {
			t.Fatal(err)
		}
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Rejected || a.Notes != "never mind" {
			t.Errorf("%+v", a)
		}
	})
}

// TestMergesOfOneList: each of two changes of the routes counts, in whatever order they are merged, beside those of others.
func TestMergesOfOneList(t *testing.T) {
	upstreamed(t, supervised, func(t *testing.T, w *world) {
		var ids []string
		for _, name := range []string{"one", "two"} {
			ids = append(ids, w.ask(queue.CredProxyBlock, fmt.Sprintf(`{"routes":[
				{"path":"/anthropic/","upstream":"https://api.anthropic.com","token_slot":"env-TOKEN"},
				{"path":"/%s/","upstream":"https://api.anthropic.com","token_slot":"env-TOKEN"}]}`, name)))
			w.pass(time.Second)
			w.decide(ids[len(ids)-1], approveIt)
		}
		for _, id := range ids {
			w.isMerging(id, "approved")
		}
		const route = "      - {path: /%s/, upstream: https://api.anthropic.com, token: {env: TOKEN}}\n"
		text := strings.Replace(supervised, "    routes:\n", "    routes:\n"+fmt.Sprintf(route, "two")+fmt.Sprintf(route, "other"), 1)
		w.files.save(t, "a.yaml", text)
		if a := w.awaitAnswer(ids[1], time.Minute); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
		w.isMerging(ids[0], "the other one is merged")
		w.files.save(t, "a.yaml", strings.Replace(text, "    routes:\n", "    routes:\n"+fmt.Sprintf(route, "one"), 1))
		if a := w.awaitAnswer(ids[0], time.Minute); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
	})
}

// TestMergeOfEdited: whatever the operator made of a proposal has to be merged, also if it is neither a host nor a route, or nothing of the
// bottle.
func TestMergeOfEdited(t *testing.T) {
	for what, edited := range map[string]string{
		"a setting": strings.Replace(supervised, "  egress:\n", "  egress:\n    dlpAction: warn\n", 1),
		"a removal": strings.Replace(supervised, "example.com # the first one", "example.org", 1),
		"a comment": supervised + "# ask the owner of the registry\n",
	} {
		t.Run(what, func(t *testing.T) {
			upstreamed(t, supervised, func(t *testing.T, w *world) {
				id := w.askHost("https://registry.npmjs.org")
				w.decide(id, reconciler.DecisionRequest{Approve: true, Edited: &edited})
				w.isMerging(id, "approved")
				w.files.save(t, "a.yaml", strings.Replace(supervised, "      - example.com", "      - example.org\n      - example.com", 1))
				w.isMerging(id, "something else is merged")
				w.files.save(t, "a.yaml", edited)
				if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Modified {
					t.Errorf("%+v", a)
				}
			})
		})
	}
}

// TestMergeIntoAnotherFile: the manifests were put in order meanwhile, and the controller was started anew.
func TestMergeIntoAnotherFile(t *testing.T) {
	upstreamed(t, supervised, func(t *testing.T, w *world) {
		id := w.askHost("https://registry.npmjs.org")
		w.decide(id, approveIt)
		w.isMerging(id, "approved")
		w.stop()
		if err := os.Rename(w.files.path("a.yaml"), w.files.path("agent.yaml")); err != nil {
			t.Fatal(err)
		}
		w.run(nil)
		w.isMerging(id, "moved")
		w.files.save(t, "agent.yaml", merged)
		if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
			t.Errorf("%+v", a)
		}
	})
}

// TestMergeOfADockerfile that is away for a while. What is rejected replaces nothing, so that a rollback goes back to what is merged.
func TestMergeOfADockerfile(t *testing.T) {
	upstreamed(t, strings.Replace(supervised, "image: agent:1", "build: {context: image}", 1), func(t *testing.T, w *world) {
		for _, merge := range []bool{true, false} {
			content := fmt.Sprintf("%sLABEL merge=%t\n", dockerfile, merge)
			id := w.ask(queue.CapabilityBlock, content)
			w.pass(time.Second)
			w.decide(id, approveIt)
			w.isMerging(id, "approved")
			if !merge {
				w.decide(id, reconciler.DecisionRequest{})
				w.awaitAnswer(id, time.Minute)
				continue
			}
			if err := os.Remove(w.files.path("image/Dockerfile")); err != nil {
				t.Fatal(err)
			}
			w.isMerging(id, "the Dockerfile is away")
			w.files.save(t, "image/Dockerfile", content)
			if a := w.awaitAnswer(id, time.Minute); a.Status != queue.Approved {
				t.Errorf("%+v", a)
			}
		}
		if r, err := w.controller.ReviewRollback(t.Context(), "a"); err != nil || r.Edited != dockerfile {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
