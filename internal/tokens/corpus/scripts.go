package corpus

import (
	"strings"
	"unicode"
)

// emoji writes an emoji, some with a skin tone, joined with another one, or followed by a flag.
func emoji(r source, b *strings.Builder) {
	faces := [][2]rune{{0x1f600, 0x1f64f}, {0x1f300, 0x1f5ff}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x2600, 0x27bf}}
	one := func() {
		in := faces[r.IntN(len(faces))]
		b.WriteRune(in[0] + r.Int32N(in[1]-in[0]+1))
	}
	// The emoji comes in any case; for 4 and 5 nothing follows it.
	switch one(); r.IntN(6) {
	case 0: // a flag
		b.WriteRune(0x1f1e6 + r.Int32N(26))
		b.WriteRune(0x1f1e6 + r.Int32N(26))
	case 1: // a skin tone
		b.WriteRune(0x1f3fb + r.Int32N(5))
	case 2: // several emoji joined into one
		b.WriteString("\u200d")
		one()
		b.WriteString("\ufe0f")
	case 3:
		b.WriteString(" ok ")
	}
}

// combining writes a letter with up to seven combining marks on it.
func combining(r source, b *strings.Builder) {
	b.WriteByte(r.pick(lower + upper))
	for range r.IntN(8) {
		b.WriteRune(0x300 + r.Int32N(0x70))
	}
	if r.IntN(5) == 0 {
		b.WriteByte(' ')
	}
}

// rareScript writes a word in one of the scripts of Unicode, each with the same probability.
func rareScript(r source, b *strings.Builder) {
	scripts := []*unicode.RangeTable{
		unicode.Tibetan, unicode.Myanmar, unicode.Sinhala, unicode.Lao, unicode.Mongolian, unicode.Cherokee, unicode.Ogham, unicode.Runic,
		unicode.Canadian_Aboriginal, unicode.Yi, unicode.Thaana, unicode.Nko, unicode.Tifinagh, unicode.Vai, unicode.Javanese, unicode.Balinese,
		unicode.Gurmukhi, unicode.Gujarati, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Oriya, unicode.Syriac, unicode.Coptic,
		unicode.Gothic, unicode.Cuneiform, unicode.Egyptian_Hieroglyphs, unicode.Deseret, unicode.Glagolitic, unicode.Bopomofo, unicode.Braille,
	}
	table := scripts[r.IntN(len(scripts))]
	for range 1 + r.IntN(9) {
		b.WriteRune(member(r, table))
	}
	b.WriteByte(' ')
}

// member returns a random character of a table of Unicode's. Each range of the table has the same probability.
func member(r source, table *unicode.RangeTable) rune {
	n := r.IntN(len(table.R16) + len(table.R32))
	if n < len(table.R16) {
		in := table.R16[n]
		return rune(in.Lo) + r.Int32N(int32(in.Hi-in.Lo)/int32(in.Stride)+1)*rune(in.Stride)
	}
	in := table.R32[n-len(table.R16)]
	return rune(in.Lo) + r.Int32N(int32(in.Hi-in.Lo)/int32(in.Stride)+1)*rune(in.Stride)
}

// anyPlane writes characters from all of Unicode, assigned or not, with some ASCII between them.
func anyPlane(r source, b *strings.Builder) {
	switch r.IntN(4) {
	case 0:
		b.WriteByte(byte(' ' + r.IntN(95)))
	case 1:
		b.WriteRune(0x10000 + r.Int32N(0x100000))
	default:
		c := 0x80 + r.Int32N(0xff80)
		if c >= 0xd800 && c <= 0xdfff {
			// A surrogate is no character.
			c = 0xfffd
		}
		b.WriteRune(c)
	}
}

// mixedScript writes words with letters of several scripts, as in spoofed names.
func mixedScript(r source, b *strings.Builder) {
	tables := []*unicode.RangeTable{unicode.Latin, unicode.Cyrillic, unicode.Greek, unicode.Arabic, unicode.Hangul, unicode.Han, unicode.Hiragana, unicode.Devanagari}
	for range 1 + r.IntN(8) {
		if r.IntN(2) == 0 {
			b.WriteByte(r.pick(lower))
		} else {
			b.WriteRune(member(r, tables[r.IntN(len(tables))]))
		}
	}
	b.WriteByte(' ')
}
