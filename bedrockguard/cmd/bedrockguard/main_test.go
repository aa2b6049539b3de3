package main

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	playChild()
	goleak.VerifyTestMain(m)
}
