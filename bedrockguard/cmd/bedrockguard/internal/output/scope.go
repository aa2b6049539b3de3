package output

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// SplitText says by what a limit is split into accounts: "workflow, tag team", or "nothing" if it has only one. Per prints its dimensions with | in
// between.
func SplitText(l *budget.Limit) string {
	var by []string
	if l.Per != 0 {
		by = strings.Split(l.Per.String(), "|")
	}
	for _, tag := range l.PerTags {
		by = append(by, "tag "+tag)
	}
	if len(by) == 0 {
		return "nothing"
	}
	return strings.Join(by, ", ")
}

// ScopeText prints which calls a scope selects; without values it selects everything.
func ScopeText(s budget.Scope) string {
	if len(s.Dims()) == 0 {
		return "everything"
	}
	return s.String()
}

// AccountText prints the values of an account; the only account of a limit that is not split has none.
func AccountText(s budget.Scope) string {
	if len(s.Dims()) == 0 {
		return "all"
	}
	return s.String()
}
