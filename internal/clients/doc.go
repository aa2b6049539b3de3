// Package clients holds clients of Bedrock that others wrote, in Python, JavaScript and Go, to what the proxy promises: they work through it
// unchanged, what they say was used is what the ledger holds, and a denial is sent once and its text reaches the user.
//
// .ci/install-clients installs them into the user's cache folder, by the versions that py, js and agents pin. A test whose client is not there
// skips with a line that says so, unless CI=true; coding agents are there for Linux alone.
package clients
