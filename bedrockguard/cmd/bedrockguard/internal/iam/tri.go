package iam

// tri is an answer where not everything is known.
type tri int8

const (
	no tri = iota
	maybe
	yes
)

func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

// not turns an answer round; what is not known stays so.
func (t tri) not() tri { return yes - t }

// both is the answer to two questions that have to hold, and either to two of which one has to.
func (t tri) both(other tri) tri   { return min(t, other) }
func (t tri) either(other tri) tri { return max(t, other) }
