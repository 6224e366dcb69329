package clients

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bot-bottle/bottled/manifests/golden"
)

// page is the documentation of the table.
const page = "../../../docs/reference/clients.md"

// TestTable expects the documentation to have every row.
func TestTable(t *testing.T) {
	var table strings.Builder
	table.WriteString("| client | does this | result |\n|---|---|---|\n")
	for _, r := range rows() {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", r.client, r.does, r.gets)
	}
	checkSection(t, "table", table.String())
}

// recordVersions writes into the documentation, with -update, what the rows were run with.
func recordVersions(t *testing.T, versions map[string]string) {
	t.Helper()
	if !golden.Updating() {
		return
	}
	checkSection(t, "versions", strings.Join(slices.Sorted(maps.Values(versions)), ", ")+".\n")
}

// checkSection compares a section of the page, between comments with its name, with a text, or replaces it with -update.
func checkSection(t *testing.T, name, text string) {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, ok := strings.Cut(string(data), begin)
	_, after, ends := strings.Cut(rest, end)
	if !ok || !ends {
		t.Fatalf("%s has no section %s", page, name)
	}
	golden.Check(t, page, before+begin+text+end+after)
}
