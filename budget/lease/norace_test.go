//go:build !race

package lease_test

// raceDetector says that tests run several times slower.
const raceDetector = false
