package clients

var gitRows = []row{
	{
		client: "git", does: "clones `https://HOST/…` of the role `git-insteadof`", gets: "the repository, by the route",
		script:   gitClone("https://git.example/team/project.git"),
		prints:   []string{"the project"},
		upstream: []string{"GET https://git.example/team/project.git/info/refs?service=git-upload-pack auth=token"},
		never:    []string{"https://git.example/team/project.git/info/refs?service=git-upload-pack auth=none"},
	},
	{
		client: "git", does: "clones `git@HOST:…`", gets: "the repository, by the route",
		script: gitClone("git@git.example:team/project.git"), prints: []string{"the project"},
	},
	{
		client: "git", does: "clones `ssh://git@HOST/…`", gets: "the repository, by the route",
		script: gitClone("ssh://git@git.example/team/project.git"), prints: []string{"the project"},
	},
	{
		client: "git", does: "clones `https://git@HOST/…`, `https://HOST:443/…`, `ssh://git@HOST:22/…`, `git+ssh://git@HOST/…`, `git@HOST:/…` and `HOST:…`", gets: "the repository, by the route",
		script: `for url in https://git@git.example/ https://git.example:443/ ssh://git@git.example:22/ git+ssh://git@git.example/ git@git.example:/ git.example:; do
	git clone -q "${url}team/project.git" project
	cat project/README
	rm -r project
done
echo all of them`,
		prints: []string{"the project", "all of them"},
		never:  []string{"https://git.example/team/project.git/info/refs?service=git-upload-pack auth=none"},
	},
	{
		client: "git", does: "fetches 40 branches (the request is compressed), shallow and partial", gets: "them all",
		script: `git clone -q --depth 1 --no-single-branch https://git.example/team/project.git .
git branch -r | grep -c topic-
git clone -q --filter=blob:none https://git.example/team/project.git partial
cat partial/README`,
		prints:   []string{"40\n", "the project"},
		upstream: []string{`POST https://git.example/team/project.git/git-upload-pack auth=token content-encoding="gzip"`},
	},
	{
		client: "git", does: "pushes", gets: "403 that says why",
		script: `git clone -q https://git.example/team/project.git .
git push origin HEAD:refs/heads/more`, fails: true,
		prints: []string{"push", "not allowed", "403"},
		never:  []string{"service=git-receive-pack"},
	},
	{
		client: "git", does: "clones from a host that is not allowed", gets: "403; with `GIT_CURL_VERBOSE=1` the reason",
		script: `GIT_CURL_VERBOSE=1 git clone https://other.example/project.git`, fails: true,
		prints: []string{refusal},
	},
}

func gitClone(url string) string { return "git clone -q " + url + " .\ncat README\n" }
