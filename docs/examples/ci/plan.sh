#!/bin/sh
# Writes what a change of the manifests would do, as a comment in Markdown:  plan.sh DIR COMMENT.md
# Differences are what a change is for, so it ends with 0 then; with bottled's exit code otherwise.
set -u
out=$(mktemp)
trap 'rm -f "$out"' EXIT

bottled plan "$1" >"$out" 2>&1
code=$?
case $code in
0) verdict='nothing would change' ;;
2) verdict='this would be done' code=0 ;;
3) verdict='**the manifests have problems**' ;;
*) verdict='**a plan could not be made, or not for all bottles**' ;;
esac

{
	echo '<!-- bottled plan -->'
	echo "### bottled: $verdict"
	echo
	echo '~~~~~text'
	head -c 60000 "$out" # a comment has at most 65,536 characters on GitHub
	echo
	echo '~~~~~'
} >"$2"
cat "$out"
exit $code
