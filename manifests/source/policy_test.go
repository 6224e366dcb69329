package source

import (
	"os"
	"strings"
	"testing"
	"time"
)

const (
	policy = "apiVersion: bottled/v1alpha1\nkind: ApprovalPolicy\nmetadata: {name: team}\nspec:\n  auto: [{tool: pipelock-block, hosts: [pypi.org]}]\n"
	dev    = "apiVersion: bottled/v1alpha1\nkind: Bottle\nmetadata: {name: dev}\nspec: {}\n"
)

// rulesOf returns how many rules a policy has, -1 for no policy.
func rulesOf(s Snapshot) int {
	if s.Policy == nil {
		return -1
	}
	return len(s.Policy.Spec.Auto)
}

// TestPolicy: a faulty policy approves nothing, and hinders neither bottles nor their pruning.
func TestPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		files           map[string]string
		rules, problems int
	}{
		"none":                 {map[string]string{"dev.yaml": dev}, -1, 0},
		"in a file of its own": {map[string]string{"dev.yaml": dev, "policy.yaml": policy}, 1, 0},
		"in a bottle's file":   {map[string]string{"dev.yaml": dev + "---\n" + policy}, 1, 0},
		"with a bottle's name": {map[string]string{"dev.yaml": dev, "policy.yaml": strings.Replace(policy, "team", "dev", 1)}, 1, 0},
		"two":                  {map[string]string{"dev.yaml": dev, "a.yaml": policy, "b.yaml": policy}, 0, 2},
		"invalid":              {map[string]string{"dev.yaml": dev, "policy.yaml": policy + "  oops: 1\n"}, 0, 1},
		"valid and invalid":    {map[string]string{"dev.yaml": dev, "a.yaml": policy, "b.yaml": policy + "  oops: 1\n"}, 0, 3},
		"a typing error":       {map[string]string{"dev.yaml": dev, "policy.yaml": strings.Replace(policy, "Policy", "Polcy", 1)}, 0, 1},
		"another vendor's":     {map[string]string{"dev.yaml": dev, "policy.yaml": strings.Replace(policy, "bottled/v1alpha1", "policies.test/v1", 1)}, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tree(t, c.files)
			s, err := Load(".")
			if err != nil || rulesOf(s) != c.rules || len(s.Problems) != c.problems {
				t.Errorf("%d rules, problems %v, %v", rulesOf(s), s.Problems, err)
			}
			if len(s.Bottles) != 1 || len(s.InvalidSlugs())+len(s.UnknownDocuments()) > 0 {
				t.Errorf("bottles %v, invalid %v, unknown %v", s.Bottles, s.InvalidSlugs(), s.UnknownDocuments())
			}
			if only := s.Only("dev"); rulesOf(only) != c.rules {
				t.Errorf("of one bottle: %d rules", rulesOf(only))
			}
		})
	}
}

// TestPolicyThatAgentCanWrite: it approves nothing.
func TestPolicyThatAgentCanWrite(t *testing.T) {
	writes := strings.Replace(dev, "{}", "{agent: {image: a, mounts: [{source: ./shared, target: /shared}]}}", 1)
	tree(t, map[string]string{"dev.yaml": writes, "shared/policy.yaml": policy})
	s, err := Load("dev.yaml", "shared/policy.yaml")
	if err == nil && rulesOf(s) > 0 {
		t.Errorf("%+v", s.Policy)
	}
	// It was read before the agent's mount was declared.
	tree(t, map[string]string{"bottles/dev.yaml": dev, "bottles/shared/policy.yaml": policy})
	r := Reader{Paths: []string{"bottles"}}
	if s, _, err := r.Read(); err != nil || rulesOf(s) != 1 {
		t.Fatalf("%d rules, %v", rulesOf(s), err)
	}
	if err := os.WriteFile("bottles/dev.yaml", []byte(writes), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if s, _, err := r.Read(); err != nil || rulesOf(s) != 0 {
			t.Errorf("%d rules, %v, %v", rulesOf(s), s.Problems, err)
		}
	}
}

// TestPolicyGoesForAMoment: while its file is replaced, the last policy holds; 2 s later there is none.
func TestPolicyGoesForAMoment(t *testing.T) {
	tree(t, map[string]string{"dev.yaml": dev, "policy.yaml": policy})
	now := time.Now().Add(time.Minute)
	r := Reader{Paths: []string{"."}, Now: func() time.Time { return now }}
	read := func(want int) {
		t.Helper()
		if s, _, err := r.Read(); err != nil || rulesOf(s) != want {
			t.Errorf("%d rules, want %d: %v, %v", rulesOf(s), want, s.Problems, err)
		}
	}
	read(1)
	if err := os.Rename("policy.yaml", "policy.tmp"); err != nil {
		t.Fatal(err)
	}
	read(1)
	now = now.Add(time.Second)
	read(1)
	now = now.Add(time.Second)
	read(-1)
	read(-1)
}
