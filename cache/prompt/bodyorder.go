package prompt

import "slices"

// arrange sorts the parts, which a body may have in any order, into the order in which the cache reads them: tools, system prompt, messages. Their
// blocks and leaves (the pieces of the blocks' content) move with them, in the prompt's two flat lists.
func (s *bodySink) arrange() {
	parts := s.parts[:s.opened]
	if slices.IsSortedFunc(parts, func(a, b part) int { return int(a.section) - int(b.section) }) {
		return
	}
	endsToCounts(s.p.Blocks) // because ends change when blocks move
	// The parts themselves stay where they are, because cache points hold indexes of them: order is sorted in their stead.
	order := [len(s.parts)]int{0, 1, 2, 3}
	for i := 1; i < len(parts); i++ { // an insertion sort, in which equal sections keep their order
		for j := i; j > 0 && parts[order[j-1]].section > parts[order[j]].section; j-- {
			s.swap(order[:], j)
		}
	}
	countsToEnds(s.p.Blocks)
	start := 0
	for _, i := range order[:len(parts)] {
		parts[i].start = start
		start += parts[i].blocks
	}
}

// endsToCounts makes leafEnd, the index after a block's last leaf, the number of its leaves.
func endsToCounts(blocks []Block) {
	for i := len(blocks) - 1; i > 0; i-- {
		blocks[i].leafEnd -= blocks[i-1].leafEnd
	}
}

// countsToEnds undoes endsToCounts, in the order that the blocks have now.
func countsToEnds(blocks []Block) {
	for i := 1; i < len(blocks); i++ {
		blocks[i].leafEnd += blocks[i-1].leafEnd
	}
}

// swap exchanges the parts at j-1 and j of the order, with their blocks and leaves.
func (s *bodySink) swap(order []int, j int) {
	blocks, leaves := 0, 0 // how many come before both parts
	for _, i := range order[:j-1] {
		blocks += s.parts[i].blocks
		leaves += s.parts[i].leaves
	}
	a, b := s.parts[order[j-1]], s.parts[order[j]]
	rotate(s.p.Blocks[blocks:blocks+a.blocks+b.blocks], a.blocks)
	rotate(s.p.leaves[leaves:leaves+a.leaves+b.leaves], a.leaves)
	order[j-1], order[j] = order[j], order[j-1]
}

// rotate brings the elements from index n on to the front, without an allocation.
func rotate[T any](s []T, n int) {
	slices.Reverse(s[:n])
	slices.Reverse(s[n:])
	slices.Reverse(s)
}
