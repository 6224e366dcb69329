// Package gitsource keeps a checkout of one branch of a Git repository: manifests from Git, followed by polling.
//
// # Trust
//
// Whoever may push to the branch decides what runs. With Options.Keys, only commits signed by one of these keys are taken.
// The branch's tip counts, also after a force push, so whoever controls the server can bring back an older signed commit.
//
// The repository itself is not trusted: a commit is refused when it has a symlink that leads out of the checkout, a file name that
// means another place (.., .git), or more than 250,000 files and directories.
//
// # What is checked out
//
// Files are what the commit has, byte by byte. Submodules are not followed, Git LFS files stay pointers, and attributes (eol,
// filters) have no effect. File modes do not depend on the umask.
//
// Each new commit is fetched without history (depth 1) into an empty store, written to an empty directory, and moved into place at
// once. So the path of a file stays the same from commit to commit, but the file itself is another one: don't bind mount it.
//
// # Servers
//
// HTTP and HTTPS take proxies from the environment (HTTPS_PROXY). A redirect to another origin (scheme, host, port) doesn't get the
// token. SSH signs in with the keys of ssh-agent (SSH_AUTH_SOCK) as the URL's user, and knows servers by the files that
// SSH_KNOWN_HOSTS lists (with : between them) or else ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts; an unknown server is refused.
// The objects of a local repository are copied in this process. The git program is not needed.
//
// Repositories with SHA-256 object names are not supported, nor are servers that go-git can't talk to: git-sync can follow these.
//
// # On disk
//
// Options.Dir has:
//   - tree: the files.
//   - repository: a bare repository with the objects of one commit. Its HEAD is the branch, its remote "origin" the URL. It is what
//     counts after a crash: Open writes the tree anew from it.
//   - tree.new, repository.new: the next ones. What a crash leaves of them is removed.
package gitsource
