//go:build race

package budget_test

// raceDetector says that tests run several times slower.
const raceDetector = true
