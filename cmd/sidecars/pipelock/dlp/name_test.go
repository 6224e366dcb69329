package dlp

import (
	"encoding/base32"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"
)

// hostNames are names of hosts in the forms in which clouds and CDNs make them, and the wildcards they may be under.
// None belongs to anybody that we know of.
const hostNames = `
d111111abcdef8 cloudfront.net
d2k9x4m7qw3zt1 cloudfront.net
my-bucket.s3.us-east-1 amazonaws.com
build-artifacts-prod-9f86d081884c7d65.s3.eu-central-1 amazonaws.com
elasticbeanstalk-us-west-2-123456789012.s3 amazonaws.com
a1b2c3d4e5.execute-api.us-east-1 amazonaws.com
my-alb-1234567890.us-east-1.elb amazonaws.com
internal-k8s-default-ingress-1a2b3c4d5e-1234567890.eu-west-1.elb amazonaws.com
k8s-prod-nginx-0a1b2c3d4e-f5a6b7c8d9e0f1a2.elb.us-east-1 amazonaws.com
a1b2c3d4e5f6478890ab12cd34ef56ab-1234567890.eu-west-1.elb amazonaws.com
a1b2c3d4e5f6478890ab12cd34ef56ab-1234567890abcdef.elb.eu-west-1 amazonaws.com
0123456789abcdef0123456789abcdef.gr7.us-east-1.eks amazonaws.com
mydb.c9akciq32rgk.us-east-1.rds amazonaws.com
123456789012.dkr.ecr.us-east-1 amazonaws.com
ec2-203-0-113-25.compute-1 amazonaws.com
vpce-0a1b2c3d4e5f67890-abcdefgh.s3.us-east-1.vpce amazonaws.com
search-logs-prod-4x5y6z7a8b9c0d1e2f3g4h5i6j.us-east-1.es amazonaws.com
my-app-git-feature-login-page-my-team vercel.app
my-app-9x8y7z6w5-my-team vercel.app
deploy-preview-1234--my-site netlify.app
64f0c1d2e3a4b50008f1a2b3--my-site netlify.app
a1b2c3d4.my-project pages.dev
9f86d081.my-docs-site pages.dev
my-service-abcdefghij-uc.a run.app
my-service-123456789012.us-central1 run.app
us-central1-my-project-123456 cloudfunctions.net
my-app-0123456789ab herokuapp.com
web-production-1a2b.up railway.app
my-api-k3x9 onrender.com
proud-river-0a1b2c3d4.5 azurestaticapps.net
contoso-a1b2c3d4e5f6g7h8.westeurope-01 azurewebsites.net
my-app--rev2.happyfield-1a2b3c4d.westeurope azurecontainerapps.io
productionresultssa12.blob core.windows.net
stprodweu001a2b3c4d5e6f.blob core.windows.net
my-vault-7x2k9.vault azure.net
adb-1234567890123456.7 azuredatabricks.net
dbc-a1b2c3d4-e5f6.cloud databricks.com
my-openai-resource-swedencentral.openai azure.com
a1b2c3d4-e5f6-7890-abcd-ef1234567890-00-2abc3def4ghi.janeway replit.dev
3000-acme-webshop-abc123def45.ws-eu110 gitpod.io
octocat-fuzzy-space-guide-abc123def456-8080.app github.dev
a1b2-203-0-113-5 ngrok-free.app
random-words-here-today trycloudflare.com
a1b2c3d4e5f6478890ab12cd34ef56ab.us-east-1.aws found.io
a1b2c3d4e5f6478890ab12cd34ef56ab r2.cloudflarestorage.com
pub-a1b2c3d4e5f6478890ab12cd34ef56ab r2.dev
cluster0-shard-00-01.abcde mongodb.net
ep-cool-darkness-a1b2c3d4.us-east-2.aws neon.tech
abcdefghijklmnopqrst supabase.co
qzxwvtrkplmnbgfdshjc supabase.co
xy12345.eu-west-1.aws snowflakecomputing.com
o4504000000000000.ingest.us sentry.io
o123456.ingest sentry.io
rr5---sn-hp57kn6e googlevideo.com
r3---sn-4g5e6nsk googlevideo.com
objects githubusercontent.com
pipelines.actions githubusercontent.com
pipelinesghubeus2.actions githubusercontent.com
release-assets githubusercontent.com
avatars githubusercontent.com
raw githubusercontent.com
production.cloudflare docker.com
auth docker.io
cdn-lfs-us-1 hf.co
cas-bridge.xethub hf.co
transfer.xethub hf.co
fonts gstatic.com
encrypted-tbn0 gstatic.com
storage googleapis.com
us-central1-aiplatform googleapis.com
generativelanguage googleapis.com
files pythonhosted.org
registry npmjs.org
security.debian debian.org
deb.nodesource nodesource.com
ftp.fr.debian debian.org
a248.e akamai.net
e1234.dscb akamaiedge.net
san-example-com.g edgekey.net
t2-my-tenant.scm azure-devops.com
xn--80ak6aa92e example.com
xn--bcher-kva.xn--mnchen-3ya example.com
mail-wm1-f41 google.com
1drv-ms-a.files onedrive.com
myteam.my slack-files.com
customer-4f5g6h7j8k9l.cloudflarestream cloudflarestream.com
cdn.jsdelivr jsdelivr.net
`

// TestHostNamesPass: the names that clouds make pass, whichever wildcard of theirs is allowed.
func TestHostNamesPass(t *testing.T) {
	d := detector(t)
	n := 0
	for line := range strings.Lines(hostNames) {
		labels, _, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		n++
		if id := d.FindName(labels); id != "" {
			t.Errorf("%s is taken for %s", strings.TrimSpace(line), id)
		}
	}
	if n < 80 {
		t.Errorf("only %d names", n)
	}
}

// TestAttackDataInName: data of some length is refused in any form that a name can have.
func TestAttackDataInName(t *testing.T) {
	d := detector(t)
	rng := rand.New(rand.NewPCG(8, 9))
	random := func(alphabet string, length int) string {
		var b strings.Builder
		for range length {
			b.WriteByte(alphabet[rng.IntN(len(alphabet))])
		}
		return b.String()
	}
	dotted := func(s string, size int) string { return chunked(s, size, ".") }
	const lower, base36 = "abcdefghijklmnopqrstuvwxyz", "abcdefghijklmnopqrstuvwxyz0123456789"
	b32 := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(token())))
	const rounds = 500
	passed := map[string]int{}
	for range rounds {
		for name, labels := range map[string]string{
			"random letters and digits": random(base36, 32), "base64 for URLs in lower case": strings.Trim(random(base36+"-_", 75), "-_"),
			"random letters": random(lower, 40), "a hash": random("0123456789abcdef", 63), "a hash in labels": dotted(random("0123456789abcdef", 64), 16),
			"digits": dotted(random("0123456789", 60), 20), "base32 in labels": dotted(random(lower+"234567", 100), 14),
			"many labels": dotted(random(base36, 200), 8),
		} {
			if id := d.FindName(labels); id == "" {
				passed[name]++
			}
		}
	}
	for name, n := range passed {
		if n > rounds/50 { // chance makes words, too
			t.Errorf("%s: %d of %d pass", name, n, rounds)
		}
	}
	for name, labels := range map[string]string{
		"a token": token(), "a token in lower case": strings.ToLower(token()), "a token in labels": dotted(token(), 12),
		"a token in hex": dotted(hex.EncodeToString([]byte(token())), 60), "a token in base32": dotted(b32, 60), "a token in short base32 labels": dotted(b32, 7),
	} {
		if id := d.FindName(labels); id != "github-pat" {
			t.Errorf("%s: %q in %s", name, id, labels)
		}
	}
}
