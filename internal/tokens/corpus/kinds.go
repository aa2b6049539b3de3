package corpus

import (
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"unicode"
)

const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
	punct  = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
)

// generators returns the generators by the kind of text that each makes, one piece with each call. Only Splices is not among them: that
// kind joins pieces of all these.
func generators() map[string]generator {
	kinds := make(map[string]generator)
	maps.Copy(kinds, wordGenerators())
	maps.Copy(kinds, signGenerators())
	maps.Copy(kinds, recordGenerators())
	maps.Copy(kinds, codeGenerators())
	maps.Copy(kinds, scriptGenerators())
	return kinds
}

// englishWords returns the words of the English text, with repetitions.
func englishWords() []string {
	return strings.FieldsFunc(seed("english"), func(r rune) bool { return !unicode.IsLetter(r) })
}

// wordGenerators returns the generators of words and of what looks like words, in ASCII for the most part.
func wordGenerators() map[string]generator {
	english := strings.Split(strings.TrimSpace(seed("english")), "\n")
	words := englishWords()
	return map[string]generator{
		"english":      func(r source, b *strings.Builder) { b.WriteString(r.from(english)); b.WriteString(" ") },
		"word order":   func(r source, b *strings.Builder) { b.WriteString(r.from(words)); b.WriteString(" ") },
		"shuffled":     func(r source, b *strings.Builder) { shuffled(r, b, r.from(words)) },
		"syllables":    syllables,
		"random lower": func(r source, b *strings.Builder) { r.chars(b, lower, 1, 12); b.WriteByte(' ') },
		"random mixed": func(r source, b *strings.Builder) { r.chars(b, lower+upper, 1, 12); b.WriteByte(' ') },
		"random upper": func(r source, b *strings.Builder) { r.chars(b, upper, 1, 12); b.WriteByte(' ') },
		"upper case":   func(r source, b *strings.Builder) { b.WriteString(strings.ToUpper(r.from(english))); b.WriteByte('\n') },
		"alternating":  func(r source, b *strings.Builder) { alternating(b, r.from(words)) },
		"leetspeak":    func(r source, b *strings.Builder) { b.WriteString(leet.Replace(r.from(english))); b.WriteByte('\n') },
		"identifiers":  func(r source, b *strings.Builder) { identifier(r, b, words) },
		"names":        names,
		"chemistry":    chemistry,
	}
}

// signGenerators returns the generators of characters that form no words, in ASCII for the most part.
func signGenerators() map[string]generator {
	return map[string]generator{
		"random ascii": func(r source, b *strings.Builder) {
			r.chars(b, lower+upper+digits+punct+" ", 20, 80)
			b.WriteByte('\n')
		},
		"repeated": repeated,
		"base64": func(r source, b *strings.Builder) {
			// 57 bytes make 76 characters, the usual length of a line of base64.
			b.WriteString(base64.StdEncoding.EncodeToString(r.bytes(57)))
			b.WriteByte('\n')
		},
		"base32":      func(r source, b *strings.Builder) { r.chars(b, lower+"234567", 20, 60); b.WriteByte('\n') },
		"hex":         func(r source, b *strings.Builder) { fmt.Fprintf(b, "%x ", r.bytes(4+r.IntN(60))) },
		"uuids":       uuid,
		"numbers":     func(r source, b *strings.Builder) { r.chars(b, digits, 1, 20); b.WriteByte(r.pick(" \n,;\t")) },
		"rule lines":  ruleLine,
		"punctuation": func(r source, b *strings.Builder) { r.chars(b, punct, 1, 30); b.WriteByte(r.pick(" \n")) },
		"white space": func(r source, b *strings.Builder) { r.chars(b, " \t\n\r", 1, 20); b.WriteByte('x') },
		"control":     func(r source, b *strings.Builder) { b.WriteByte(byte(r.IntN(32))) },
	}
}

// recordGenerators returns the generators of what programs write: tables, logs, differences, addresses and JSON.
func recordGenerators() map[string]generator {
	words := englishWords()
	return map[string]generator{
		"csv":          csvLine,
		"fixed width":  fixedWidth,
		"space tables": func(r source, b *strings.Builder) { spaceTable(r, b, words) },
		"logs":         func(r source, b *strings.Builder) { logLine(r, b, words) },
		"diff":         func(r source, b *strings.Builder) { diffLine(r, b, strings.Split(seed("go"), "\n")) },
		"urls":         func(r source, b *strings.Builder) { url(r, b, words) },
		"json":         func(r source, b *strings.Builder) { jsonObject(r, b, words, false) },
		"json lines":   func(r source, b *strings.Builder) { jsonObject(r, b, words, true) },
	}
}

// codeGenerators returns the generators of source code: one for each of the embedded texts of code, and minified JavaScript.
func codeGenerators() map[string]generator {
	kinds := map[string]generator{"minified js": minified}
	for _, name := range []string{"go", "python", "javascript", "rust", "other_code", "markup"} {
		blocks := strings.SplitAfter(seed(name), "\n")
		kinds["code "+strings.ReplaceAll(name, "_", " ")] = func(r source, b *strings.Builder) { codeBlock(r, b, blocks) }
	}
	return kinds
}

// scriptGenerators returns the generators of text beyond ASCII, and one of prose for each of the languages.
func scriptGenerators() map[string]generator {
	kinds := map[string]generator{
		"emoji":        emoji,
		"combining":    combining,
		"rare scripts": rareScript,
		"any plane":    anyPlane,
		"mixed script": mixedScript,
	}
	for name, text := range languages() {
		sentences := strings.SplitAfter(text, ". ")
		kinds["prose "+name] = func(r source, b *strings.Builder) { b.WriteString(r.from(sentences)); b.WriteByte(' ') }
	}
	return kinds
}

// leet replaces letters by digits that look like them.
var leet = strings.NewReplacer("a", "4", "e", "3", "i", "1", "o", "0", "s", "5", "t", "7")

// bytes returns random bytes.
func (r source) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// shuffled writes a word with its bytes in random order.
func shuffled(r source, b *strings.Builder, word string) {
	letters := []byte(word)
	r.Shuffle(len(letters), func(i, j int) { letters[i], letters[j] = letters[j], letters[i] })
	b.Write(letters)
	b.WriteByte(' ')
}

// syllables writes words that could be of some language, but are not.
func syllables(r source, b *strings.Builder) {
	onsets := strings.Fields("b c d f g h k l m n p r s t v w z br dr fl gr kn pl sch sh spr st th tr qu x zh")
	rhymes := strings.Fields("a e i o u ai ea ie oo ou an en in on un ar er or al el is us ent ing ath olm ugh")
	for range 1 + r.IntN(5) {
		b.WriteString(r.from(onsets) + r.from(rhymes))
	}
	b.WriteByte(' ')
}

// alternating writes a word with every other letter in upper case.
func alternating(b *strings.Builder, word string) {
	for i, c := range word {
		if i%2 == 0 {
			c = unicode.ToUpper(c)
		}
		b.WriteRune(c)
	}
	b.WriteByte(' ')
}

// identifier writes a name of one to five words as code has it: camelCase, CapitalCase, with underscores, with hyphens, or in lower case without
// either; some have a number at the end.
func identifier(r source, b *strings.Builder, words []string) {
	style := r.IntN(5)
	for i := range 1 + r.IntN(5) {
		word := strings.ToLower(r.from(words))
		switch {
		case style == 0 && i > 0, style == 1: // camelCase, CapitalCase
			word = strings.ToUpper(word[:1]) + word[1:]
		case style == 2 && i > 0:
			b.WriteByte('_')
		case style == 3 && i > 0:
			b.WriteByte('-')
		}
		b.WriteString(word)
	}
	if r.IntN(4) == 0 {
		r.chars(b, digits, 1, 3)
	}
	b.WriteByte(r.pick(" \n.(),"))
}

// names writes a first and a last name that sound like some language's, but are made up.
func names(r source, b *strings.Builder) {
	starts := strings.Fields("Kri Mar Ngu Wój Szcz Abd Olu Yev Gwyn Xio Tchou Sig Ank Thi Bjør Ilm Zhu Dmy")
	middles := strings.Fields("stof ek yen cie alla wa gen eth ng pou mun ush ru nek ari tro ilo ane")
	ends := strings.Fields("ski sson ovich wicz yan idis escu nen dottir zadeh kumar moto berg iou adze enko")
	b.WriteString(r.from(starts) + r.from(middles) + " " + r.from(starts) + r.from(middles) + r.from(ends) + r.from([]string{", ", "\n", "; "}))
}

// chemistry writes a made-up name of a substance, with numbers in it.
func chemistry(r source, b *strings.Builder) {
	parts := strings.Fields("meth eth prop but pent hex cyclo benz phen oxy hydroxy chloro bromo fluoro iso amino nitro thio azo imid pyr fur")
	ends := strings.Fields("ane ene yne anol one oate amide ylamine ic-acid azole idine ium azepam tinib mab olol")
	for range 1 + r.IntN(5) {
		if r.IntN(3) == 0 {
			fmt.Fprintf(b, "%d,%d-", 1+r.IntN(9), 1+r.IntN(9))
		}
		b.WriteString(r.from(parts))
	}
	b.WriteString(r.from(ends) + " ")
}

// repeated writes one or two random characters, again and again.
func repeated(r source, b *strings.Builder) {
	unit := string(r.pick(lower + upper + digits + punct))
	if r.IntN(2) == 0 {
		unit += string(r.pick(lower + upper + digits + punct))
	}
	b.WriteString(strings.Repeat(unit, 1+r.IntN(60)))
	b.WriteByte(r.pick(" \n"))
}
