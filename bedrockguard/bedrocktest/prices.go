package bedrocktest

import (
	_ "embed"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"sync"
)

//go:embed prices.json
var pricesJSON []byte

// The classes in which tokens are billed, as indexes of rates.
const (
	classInput = iota
	classOutput
	classRead
	classWrite5m
	classWrite1h
	classes
)

// rates are prices in pico-USD per token.
type rates [classes]uint64

// model is one row of the price table.
type model struct {
	ID        string           `json:"id"`
	Provider  string           `json:"provider"`
	Rates     rates            `json:"rates"`
	Embedding bool             `json:"embedding"`
	Premium   uint64           `json:"premium"` // thousandths, on every id that is not global; 0 stands for 1000
	Geo       map[string]rates `json:"geo"`     // final rates under a geographic profile
	Long      struct {
		Above int   `json:"above"`
		Rates rates `json:"rates"`
	} `json:"long"`
	Window  int        `json:"window"`
	Output  int        `json:"output"`
	Cache   *cacheRule `json:"cache"`
	Aliases []string   `json:"aliases"`
}

type cacheRule struct {
	Min    int      `json:"min"`
	Points int      `json:"points"`
	TTLs   []string `json:"ttls"`
	Fields []string `json:"fields"`
	Max    int      `json:"max"`
}

var table = sync.OnceValue(func() map[string]*model {
	var file struct {
		Models []*model `json:"models"`
	}
	byID := make(map[string]*model)
	if err := json.Unmarshal(pricesJSON, &file); err != nil {
		return byID // every model is unknown then, which tests notice at once
	}
	for _, m := range file.Models {
		for _, id := range append(m.Aliases, m.ID) {
			byID[id] = m
		}
	}
	return byID
})

var profiles = []string{"us", "eu", "apac", "jp", "au", "ca", "in", "us-gov", "global"}

// lookup resolves the modelId of a path: a bare id, a profile, an ARN of either, or one of the user's own names.
func lookup(escaped string, names map[string]string) (m *model, profile string, ok bool) {
	id, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, "", false
	}
	if known, mapped := names[id]; mapped {
		id = known
	}
	if strings.HasPrefix(id, "arn:") {
		parts := strings.SplitN(id, ":", 6)
		if len(parts) != 6 || parts[2] != "bedrock" {
			return nil, "", false
		}
		kind, rest, _ := strings.Cut(parts[5], "/")
		if kind != "foundation-model" && kind != "inference-profile" {
			return nil, "", false
		}
		id = rest
	}
	if m, ok := table()[id]; ok {
		return m, "", true
	}
	profile, rest, _ := strings.Cut(id, ".")
	if m, ok := table()[rest]; ok && slices.Contains(profiles, profile) {
		return m, profile, true
	}
	return nil, "", false
}

// ratesFor returns what a request of so many input tokens is billed at.
func (m *model) ratesFor(profile string, input int) rates {
	if final, ok := m.Geo[profile]; ok {
		return final
	}
	r := m.Rates
	if m.Long.Above > 0 && input > m.Long.Above {
		r = m.Long.Rates
	}
	if profile == "global" || m.Premium == 0 {
		return r
	}
	for i := range r {
		r[i] = (r[i]*m.Premium + 999) / 1000
	}
	return r
}

// tierFactor is a service tier's factor in thousandths.
func tierFactor(tier string) uint64 {
	switch tier {
	case "flex":
		return 500
	case "priority":
		return 1750
	default:
		return 1000
	}
}
