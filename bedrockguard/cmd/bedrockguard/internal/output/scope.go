package output

import (
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// SplitText says by what a limit is split.
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

// ScopeText prints the values of a scope.
func ScopeText(s budget.Scope) string {
	if len(s.Dims()) == 0 {
		return "everything"
	}
	return s.String()
}

// AccountText prints the values of an account.
func AccountText(s budget.Scope) string {
	if len(s.Dims()) == 0 {
		return "all"
	}
	return s.String()
}
