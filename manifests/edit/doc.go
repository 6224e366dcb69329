// Package edit changes single values of manifests and keeps everything else of the file as people wrote it: comments, order, style,
// line endings, other documents.
//
// Apply splices the change into the text. It then parses both texts: unless they differ in that one value only, and the new manifest is
// valid, it returns an error and no text. Write replaces the file atomically, if it still has the content that was edited.
package edit
