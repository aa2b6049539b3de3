package bedrockguard_test

import "testing"

func BenchmarkZZ(b *testing.B) {
	_, g := clients(b, inMemory())
	h := conversation(1, 900)
	benchmarkCalls(b, g, h)
}

func BenchmarkZB(b *testing.B) {
	g, _ := clients(b, inMemory())
	h := conversation(1, 900)
	benchmarkCalls(b, g, h)
}
