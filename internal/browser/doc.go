// Package browser holds the status page to what it promises, in a real browser: its figures are the ledger's, a button ends a stream, no text
// becomes markup, no other site can use it, nothing is loaded from elsewhere, and axe-core finds nothing to complain of.
//
// .ci/install-browser installs Chromium and axe-core. A test whose browser is not there skips with a line that says so, unless CI=true.
// `go test -artifacts -outputdir DIR ./internal/browser` keeps screenshots of the page at three widths, light and dark.
package browser
