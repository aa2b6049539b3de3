package prompt

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// onePage is a PDF of one page with hardly a word on it.
func onePage(word string) string {
	return "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type /Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type /Page/Parent 2 0 R>>endobj\n%" + word
}

func TestDocumentTokensCountsPagesThatAreShown(t *testing.T) {
	page := "<</Type\n/Page /Parent 2 0 R>>"
	filler := strings.Repeat("stream of something else ", 2000)
	for name, tc := range map[string]struct {
		format, data string
		want         int64
	}{
		"one":                        {"pdf", onePage("x"), 2000},
		"three":                      {"pdf", "%PDF" + page + page + page, 6000},
		"far apart":                  {"pdf", strings.Repeat(page+filler, 7), 14_000},
		"none shown":                 {"pdf", strings.Repeat("x", 120_000), 6000},
		"pages are no page":          {"pdf", "/Type/Pages /Type /PageLabels /Type/Page", 2000},
		"text":                       {"txt", strings.Repeat("x", 700), 200},
		"office":                     {"docx", strings.Repeat("x", 1200), 100},
		"nothing":                    {"pdf", "", 2000},
		"a claim of too many":        {"pdf", strings.Repeat("/Type/Page ", 20_000), 20_000_000},
		"a name over the seam":       {"pdf", strings.Repeat(" ", 32<<10-5) + page, 2000},
		"and one right before it":    {"pdf", strings.Repeat(" ", 32<<10-64-5) + page, 2000},
		"and one that ends the file": {"pdf", strings.Repeat(" ", 32<<10-len("/Type/Page")) + "/Type/Page", 2000},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, DocumentTokens(tc.format, []byte(tc.data)))
			body := `{"messages":[{"role":"user","content":[{"document":{"name":"x","format":"` + tc.format + `","source":{"bytes":"` + base64.StdEncoding.EncodeToString([]byte(tc.data)) + `"}}}]}]}`
			if tc.data != "" {
				p := mustParse(t, "amazon", body)
				assert.InDelta(t, tc.want, p.Blocks[0].MediaTokens, 1, "in a body")
			}
		})
	}
}
