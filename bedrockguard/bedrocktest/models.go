package bedrocktest

import (
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"
	"time"
)

// Model is what a test says of a model, or of one that it adds.
type Model struct {
	// ID is a foundation model's, without a profile, or the id or ARN of one that is added: a custom or an imported model, an endpoint, a
	// model that is newer than the table.
	ID string
	// Like is the id of the model whose dialect, rules and prices an added one has. Empty for a model that is known.
	Like string
	// Ends is when the model is gone. Zero is what the table says.
	Ends time.Time
	// Regions are those in which it can be called. Nil is all of them.
	Regions []string
	// Denied says that the account has no access to it.
	Denied bool
	// NotReady is how many of its first requests find it not loaded yet, as those to imported models may.
	NotReady int
}

type knownModel struct {
	Model
	asked atomic.Int64
}

// models checks Options.Models.
func (o *Options) models() (map[string]*knownModel, error) {
	all := map[string]*knownModel{}
	for _, m := range o.Models {
		id := m.Like
		if id == "" {
			id = m.ID
		}
		if _, _, _, ok := lookup(id, nil); !ok {
			return nil, fmt.Errorf("bedrocktest: model %q is not known; say in Like which known model it is like", id)
		}
		all[m.ID] = &knownModel{Model: m}
	}
	return all, nil
}

// lookup resolves the modelId of a path, as the function of that name does, with the models and the names that a test adds.
func (s *Server) lookup(id string) (m *model, profile, region string, ok bool) {
	if plain, err := url.PathUnescape(id); err == nil {
		if known := s.models[plain]; known != nil && known.Like != "" {
			return lookup(known.Like, nil)
		}
	}
	return lookup(id, s.opts.Names)
}

// available says why a model can't be called; nil where it can.
func (s *Server) available(id string, m *model) *refusal {
	known := s.models[id]
	if known == nil {
		known = s.models[m.ID]
	}
	switch {
	case known == nil:
		return nil
	case known.Regions != nil && !slices.Contains(known.Regions, s.opts.Region):
		return invalid("The provided model identifier is invalid.")
	case !known.Ends.IsZero() && !s.opts.Clock().Before(known.Ends):
		return atEnd()
	case known.Denied:
		return noAccess()
	case known.asked.Add(1) <= int64(known.NotReady):
		return NotReady.status()
	}
	return nil
}

func noAccess() *refusal {
	return &refusal{403, "AccessDeniedException", "You don't have access to the model with the specified model ID."}
}
