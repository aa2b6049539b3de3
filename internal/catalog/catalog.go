package catalog

import (
	_ "embed"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
)

// embedded is the table of models that is compiled into the library. It is edited by hand, with its date and its list of sources; then `make
// prices` checks it and sorts it.
//
//go:embed models.json
var embedded string

// parseEmbedded reads the embedded table once.
var parseEmbedded = sync.OnceValues(func() (*Catalog, error) {
	file, err := decodeFile([]byte(embedded)) // a test checks the rest of what readFile checks
	if err != nil {
		return nil, err
	}
	return build(parts{date: file.date}, file.models)
})

// Catalog is a set of models, and of ids that are mapped to them. It is immutable and safe for concurrent use. The zero value has no models.
type Catalog struct {
	date   string
	models []*Model          // by ID
	byID   map[string]*Model // by ID and alias
	mapped map[string]string // an id that does not show its model to the id of a model or profile
	off    map[string]int64  // glob over model ids to thousandths off the list price
	tiers  tierTable         // the highest factors of any model, for models that have none of their own
	recent recent            // results of Resolve
	told   recent            // results of Answered, by the name that an answer tells
	same   recent            // positive results of SameModel, by name and by model id in place of a region

	spell sync.Once // builds named on first use
	named spellings // the models by the ways to write their names
}

// Default returns the models that are compiled into the library, in the same catalog every time. If the embedded table were invalid, which
// tests rule out, it would have no models, and every call would be refused.
func Default() *Catalog {
	c, err := parseEmbedded()
	if err != nil {
		return &Catalog{}
	}
	return c
}

// Date returns the day, as "2006-01-02", at which the facts of the embedded table were last checked. Empty for an empty catalog.
func (c *Catalog) Date() string { return c.date }

// Models returns every model, ordered by id. Each is a copy.
func (c *Catalog) Models() iter.Seq[Model] {
	return func(yield func(Model) bool) {
		for _, m := range c.models {
			if !yield(m.clone()) {
				return
			}
		}
	}
}

// Model returns a copy of the model with the given id or alias, without a geography. Change it and pass it to With to change a part of a
// model.
func (c *Catalog) Model(id string) (Model, bool) {
	m, ok := c.byID[id]
	if !ok {
		return Model{}, false
	}
	return m.clone(), true
}

// With returns a catalog with added models. A model with the ID of an existing one replaces it completely, aliases and cache rules included;
// start from Model to change a part. It refuses invalid models, two models with one id, and a catalog whose mappings would lose their model;
// the errors are joined, and each is a *ModelError. The receiver is unchanged, and the models are copied.
func (c *Catalog) With(models ...Model) (*Catalog, error) {
	if err := duplicates(models); err != nil {
		return nil, err
	}
	added := make(map[string]Model, len(models))
	for _, m := range models {
		added[m.ID] = m
	}
	kept := make([]*Model, 0, len(c.models))
	for _, m := range c.models {
		if _, replaced := added[m.ID]; !replaced {
			kept = append(kept, m)
		}
	}
	return build(parts{date: c.date, models: kept, mapped: c.mapped, off: c.off}, models)
}

// Map returns a catalog in which ids that do not show their model are mapped to known ones: the ARNs of application inference profiles, of
// provisioned, custom and imported models, of prompts and of marketplace endpoints. The key is the id as it is passed in ModelId; that of a
// prompt without a version covers all its versions. The value is the id of a model or an inference profile, such as
// "global.anthropic.claude-opus-4-6-v1", and decides the price: an id that is not global costs the geo premium. The mappings are added to
// earlier ones, and replace those with the same key. It refuses keys that have a price of their own and values that have none; the errors
// are joined, and each is a *ModelError. The receiver is unchanged.
func (c *Catalog) Map(ids map[string]string) (*Catalog, error) {
	mapped := maps.Clone(c.mapped)
	if mapped == nil {
		mapped = make(map[string]string, len(ids))
	}
	var problems []error
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		key, problem := normalID(id)
		if problem != "" {
			problems = append(problems, modelProblem(id, "cannot be mapped: %s", problem))
			continue
		}
		mapped[key] = ids[id]
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return build(parts{date: c.date, models: c.models, mapped: mapped, off: c.off}, nil)
}

// parts are what a catalog is built from: models that were checked for another catalog and are shared with it, mappings and discounts.
type parts struct {
	date   string
	models []*Model
	mapped map[string]string
	off    map[string]int64
}

// build makes a catalog of the given parts and of added models, which it checks and copies. It fails for ids that two models have, and for mappings
// to models that are gone.
func build(from parts, added []Model) (*Catalog, error) {
	c := &Catalog{
		date: from.date, models: slices.Clone(from.models), byID: make(map[string]*Model, 2*(len(from.models)+len(added))),
		mapped: maps.Clone(from.mapped), off: maps.Clone(from.off),
	}
	var problems []error
	for i := range added {
		m := added[i].clone()
		if err := m.Validate(); err != nil {
			problems = append(problems, err)
			continue
		}
		c.models = append(c.models, &m)
	}
	for _, m := range c.models {
		problems = append(problems, c.index(m)...)
	}
	slices.SortFunc(c.models, func(a, b *Model) int { return strings.Compare(a.ID, b.ID) })
	problems = append(problems, c.checkMapped()...)
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	c.tiers = highestTiers(c.models)
	return c, nil
}

// index adds m under its id and its aliases.
func (c *Catalog) index(m *Model) (problems []error) {
	for _, id := range append([]string{m.ID}, m.Aliases...) {
		if other, taken := c.byID[id]; taken {
			problems = append(problems, modelProblem(m.ID, "id or alias %q is taken by model %q: rename one, or override that model by its id",
				printable(id, 64), printable(other.ID, 64)))
			continue
		}
		c.byID[id] = m
	}
	return problems
}

// checkMapped refuses mappings of ids that name a model themselves, whose price a mapping would change, and mappings to ids without a model or a
// price.
func (c *Catalog) checkMapped() (problems []error) {
	for _, id := range slices.Sorted(maps.Keys(c.mapped)) {
		// find without the mappings: an id that it finds names its model itself.
		if _, reason := c.find(id, false); reason == "" {
			problems = append(problems, modelProblem(id, "cannot be mapped: it names its model; override the model to change its price"))
		}
		target := c.mapped[id]
		switch f, reason := c.find(target, false); {
		case reason != "":
			problems = append(problems, modelProblem(id, "cannot be mapped to %q: %s", printable(target, 128), reason))
		case f.model.Unpriced:
			problems = append(problems, modelProblem(id, "cannot be mapped to %q: it has no price", printable(target, 128)))
		}
	}
	return problems
}

// duplicates reports ids that more than one of the models has.
func duplicates(models []Model) error {
	var problems []error
	seen := make(map[string]bool, len(models))
	for _, m := range models {
		if seen[m.ID] {
			problems = append(problems, modelProblem(m.ID, "is given twice: keep one"))
		}
		seen[m.ID] = true
	}
	return errors.Join(problems...)
}
