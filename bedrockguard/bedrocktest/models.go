package bedrocktest

import (
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
)

// Model changes what the simulator knows of a model, or adds one.
type Model struct {
	// ID is the id of a foundation model without a profile, or for an added one any id or ARN: of a custom or an imported model, an
	// endpoint, or a model that is newer than the table.
	ID string
	// Like is the id of a known model with the same dialect, rules and prices, for an added model. Empty for a known model.
	Like string
	// Ends is when the model is retired. Zero uses the table.
	Ends time.Time
	// Regions are those in which it can be called. Nil means all.
	Regions []string
	// Denied says that the account has no access to it.
	Denied bool
	// NotReady is how many of its first requests are refused because it is not loaded yet, as happens with imported models.
	NotReady int
}

// knownModel is an entry of Options.Models. asked counts its requests, for NotReady.
type knownModel struct {
	Model
	asked atomic.Int64
}

// models returns Options.Models by ID, or an error if an entry neither is a known model nor is like one.
func (o *Options) models() (map[string]*knownModel, error) {
	all := map[string]*knownModel{}
	for _, m := range o.Models {
		id := m.Like
		if id == "" {
			id = m.ID
		}
		if _, _, _, ok := modeltable.Lookup(id, nil); !ok {
			return nil, fmt.Errorf("bedrocktest: model %q is not known; say in Like which known model it is like", id)
		}
		all[m.ID] = &knownModel{Model: m}
	}
	return all, nil
}

// lookup resolves a modelId, percent-encoded as in a path or not, to a model, its inference profile ("us", "global"; empty for none) and the
// region of an ARN. Unlike modeltable.Lookup it also knows the models and names that a test adds.
func (s *Server) lookup(id string) (m *modeltable.Model, profile, region string, ok bool) {
	if plain, err := url.PathUnescape(id); err == nil {
		if known := s.models[plain]; known != nil && known.Like != "" {
			return modeltable.Lookup(known.Like, nil) // what the added model is like is an id of the table, and none of Options.Names
		}
	}
	return modeltable.Lookup(id, s.opts.Names)
}

// available says why a model can't be called; nil if it can. An entry of Options.Models may be for the id that the request names, or for the model
// that this id stands for.
func (s *Server) available(id string, m *modeltable.Model) *refusal.Error {
	known := s.models[id]
	if known == nil {
		known = s.models[m.ID]
	}
	switch {
	case known == nil:
		return nil
	case known.Regions != nil && !slices.Contains(known.Regions, s.opts.Region):
		return refusal.Invalid("The provided model identifier is invalid.")
	case !known.Ends.IsZero() && !s.opts.Clock().Before(known.Ends):
		return refusal.AtEnd()
	case known.Denied:
		return refusal.NoAccess()
	case known.asked.Add(1) <= int64(known.NotReady): // counts this request, too
		return NotReady.status() // the refusal of the fault NotReady
	}
	return nil
}
