package catalog

import (
	"slices"
	"strings"
)

// spellingLevels is how many forms of a name are compared, the most exact one first: the whole name; without the part after a colon; without
// its version; without its date.
const spellingLevels = 4

// spellings are the models by their folded names (see fold), one map for each level. A name can stand for several models.
type spellings [spellingLevels]map[string][]*Model

// spellings returns the index of names, which is built on first use: a guard that sees only exact names never needs it.
func (c *Catalog) spellings() *spellings {
	c.spell.Do(func() { c.named = spellingsOf(c.models) })
	return &c.named
}

// spellingsOf builds the index: each id and alias of a model in each of its forms, with and without the provider.
func spellingsOf(models []*Model) spellings {
	var s spellings
	for level := range s {
		s[level] = make(map[string][]*Model, 2*len(models))
	}
	for _, m := range models {
		for _, id := range append([]string{m.ID}, m.Aliases...) {
			for level, name := range levelsOf(id) {
				s.add(level, name, m)
				s.add(level, withoutProvider(name), m)
			}
		}
	}
	return s
}

// add adds a model under a name at a level.
func (s *spellings) add(level int, name string, m *Model) {
	key := string(fold(nil, name))
	if known := s[level][key]; key != "" && !slices.Contains(known, m) {
		s[level][key] = append(known, m)
	}
}

// find returns the models that a name can mean. It compares all forms of the name with all forms of the models' names, and uses the most
// exact ones that are equal. The result must not be changed. It does not allocate for names of ordinary length.
func (s *spellings) find(name string) []*Model {
	if len(name) > maxIDBytes || !visible(name) {
		return nil
	}
	var buffer [128]byte
	cuts := levelsOf(name)
	for level := range s { // of the models' names: the higher, the more of these is left out
		for _, cut := range cuts[:level+1] { // of the given name as much may be left out, or less: it may have been written without
			for _, spelled := range [...]string{cut, withoutProvider(cut)} {
				key := fold(buffer[:0], spelled)
				if models := s[level][string(key)]; models != nil {
					return models
				}
			}
		}
	}
	return nil
}

// levelsOf returns the forms of a name, one for each level.
func levelsOf(name string) [spellingLevels]string {
	bare, _, colon := strings.Cut(name, ":")
	unversioned := bare
	if at := strings.LastIndexByte(bare, '-'); at > 0 && isVersion(bare[at+1:], colon) {
		unversioned = bare[:at]
	}
	return [...]string{name, bare, unversioned, withoutDate(unversioned)}
}

// isVersion reports whether the last part of a name is a version: "v1", or, before a colon, "1" as in "gpt-oss-120b-1:0". Without the colon a number
// at the end may be a part of the model's name.
func isVersion(last string, colon bool) bool {
	numbered := colon && len(last) <= 2 && digits(last)
	spelled := len(last) > 1 && (last[0] == 'v' || last[0] == 'V') && digits(last[1:])
	return numbered || spelled
}

// withoutProvider removes "anthropic." or "meta-llama/".
func withoutProvider(name string) string {
	if at := strings.LastIndexByte(name, '/'); at >= 0 {
		return name[at+1:]
	}
	provider, rest, found := strings.Cut(name, ".")
	// A dot behind a hyphen belongs to a number, as in "Llama-3.1-8B", and not to a provider.
	if !found || rest == "" || strings.ContainsAny(provider, "-_") {
		return name
	}
	return rest
}

// withoutDate removes "-20250929", "-2025-09-29", "-2407" (year and month) and "-latest".
func withoutDate(name string) string {
	if rest, found := strings.CutSuffix(name, "-latest"); found {
		return rest
	}
	for _, layout := range [...]string{"-0000-00-00", "-00000000", "-0000"} {
		at := len(name) - len(layout)
		if at > 0 && dated(name[at:], layout) {
			return name[:at]
		}
	}
	return name
}

// dated reports whether s, as long as layout, has its form, in which 0 is any digit, and can be a date of this century. The short form is year and
// month: its year begins with 2, and its month with 0 or 1.
func dated(s, layout string) bool {
	for i := range len(layout) {
		isDigit := s[i] >= '0' && s[i] <= '9'
		if layout[i] == '0' && !isDigit || layout[i] != '0' && s[i] != layout[i] {
			return false
		}
	}
	if len(layout) == len("-0000") {
		return s[1] == '2' && (s[3] == '0' || s[3] == '1')
	}
	return strings.HasPrefix(s, "-20")
}

// fold appends the letters, in lower case, and the digits of s to dst, and nothing else: "Llama-3.1-8B" and "llama3-1-8b" are one name.
func fold(dst []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			dst = append(dst, c)
		case c >= 'A' && c <= 'Z':
			dst = append(dst, c-'A'+'a')
		}
	}
	return dst
}
