package iam

// tri is an answer of three: yes, no, or maybe if not everything is known.
type tri int8

const (
	no tri = iota
	maybe
	yes
)

// triOf converts what is known for certain.
func triOf(b bool) tri {
	if b {
		return yes
	}
	return no
}

// not inverts an answer; maybe stays maybe.
func (t tri) not() tri { return yes - t }

// both returns whether two conditions hold together, and either whether at least one of them does.
func (t tri) both(other tri) tri   { return min(t, other) }
func (t tri) either(other tri) tri { return max(t, other) }
