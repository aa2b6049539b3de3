package jsonscan

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// read walks a whole document and returns its values by key, as they stand.
func read(text string) (map[string]string, error) {
	var p Scanner
	values := make(map[string]string)
	err := p.Document(text, func(key string) error {
		raw, err := p.Value()
		values[key] = raw
		return err
	})
	return values, err
}

func TestDocument_Values(t *testing.T) {
	values, err := read(" {\"a\" : [1, -2.5e+3, {\"b\":[]}] ,\n\"\\u0062\":\"x\\ny\",\"c\":null,\"d\":true,\"e\":{},\"f\":-0.5E1}\r\n")
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"a": `[1, -2.5e+3, {"b":[]}]`, "b": `"x\ny"`, "c": "null", "d": "true", "e": "{}", "f": "-0.5E1",
	}, values)
}

func TestDocument_Malformed(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		at   int
	}{
		"empty":                   {``, 0},
		"array":                   {`[]`, 0},
		"trailing data":           {`{} {}`, 3},
		"cut string":              {`{"a":"b`, 7},
		"cut string, long":        {`{"a":"bbbbbbbbbbbbbbbb`, 22},
		"cut escape":              {`{"a":"b\`, 7},
		"cut key":                 {`{"a`, 3},
		"cut object":              {`{"a":1`, 6},
		"no value":                {`{"a":}`, 5},
		"bare word":               {`{"a":NaN}`, 5},
		"leading zero":            {`{"a":01}`, 5},
		"bare minus":              {`{"a":-}`, 5},
		"cut fraction":            {`{"a":1.}`, 5},
		"cut exponent":            {`{"a":1e+}`, 5},
		"trailing comma":          {`{"a":1,}`, 7},
		"trailing comma in array": {`{"a":[1,]}`, 8},
		"missing comma":           {`{"a":1 "b":2}`, 7},
		"missing colon":           {`{"a" 1}`, 5},
		"key is no string":        {`{1:2}`, 1},
		"duplicate":               {`{"a":1,"a":2}`, 11},
		"duplicate, escaped":      {`{"ab":1,"a\u0062":2}`, 18},
		"duplicate deep":          {`{"x":[{"a":1,"b":{},"a":2}]}`, 24},
		"control character":       {"{\"a\":\"b\x01\"}", 7},
		"control character, far":  {"{\"a\":\"bbbbbbbbbbbbb\x1f\"}", 19},
		"bad escape":              {`{"a":"b\x"}`, 7},
		"bad unicode escape":      {`{"a":"\u00g0"}`, 6},
		"invalid UTF-8":           {"{\"a\":\"\xff\"}", 5},
		"invalid UTF-8, far":      {"{\"a\":\"bbbbbbbbbbbbbbbbbbb\xc3\"}", 5},
		"invalid UTF-8 in a key":  {"{\"\xff\":1}", 1},
		"surrogate in UTF-8":      {"{\"a\":\"\xed\xa0\x80\"}", 5},
		"invalid UTF-8 outside":   {"{\"a\":\xff}", 5},
		"byte order mark":         {"\ufeff{}", 0},
		"too deep":                {`{"a":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, 204},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(tc.text)
			var e *Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, tc.at, e.Offset, e.Reason)
			assert.Contains(t, e.Error(), "byte "+strconv.Itoa(tc.at))
		})
	}
	_, err := read(`{"a":` + strings.Repeat("[", 199) + strings.Repeat("]", 199) + `}`)
	require.NoError(t, err)
}

// Every byte at every offset of a word ends a string, stops it, or does not.
func TestText_EveryByteAtEveryOffset(t *testing.T) {
	for offset := range 20 {
		for c := range 256 {
			lit := `"` + strings.Repeat("~", offset) + string([]byte{byte(c)}) + `n` + strings.Repeat("\x7f", 9) + `"`
			p := New(lit)
			got, err := p.Text()
			switch {
			case c == '"':
				require.NoError(t, err)
				require.Equal(t, Text{strings.Repeat("~", offset), offset}, got)
			case c == '\\':
				require.NoError(t, err)
				require.Equal(t, len(got.Raw)-1, got.Len)
			case c < ' ' || c >= 0x80:
				require.Error(t, err, "%q", lit)
			default:
				require.NoError(t, err)
				require.Equal(t, lit[1:len(lit)-1], got.Raw)
				require.False(t, got.Escaped())
			}
		}
	}
}

func TestText_LenIsThatOfTheResolvedText(t *testing.T) {
	for _, raw := range []string{
		``, `a`, `\n`, `\u0041`, `\u00e9`, `\u20ac`, `\ud83d\ude00`, `\ud83d`, `\ud83d\n`, `\ude00\ud83d`, `\ud83d\u0041`,
		`é€😀`, `mixed é \u00e9 \" \\ \/ end`,
	} {
		p := New(`"` + raw + `"`)
		got, err := p.Text()
		require.NoError(t, err)
		require.Equal(t, raw, got.Raw)
		require.Len(t, got.String(), got.Len, raw)
	}
}

func TestMember_TellsWhereItBegins(t *testing.T) {
	const text = `{ "a":{"x":1 , "y":2} ,"b":[],"c" : 3}`
	var got []string
	var p Scanner
	var field func(key string) error
	field = func(key string) error {
		comma, start := p.Member()
		require.Equal(t, `"`+key+`"`, text[start:start+3])
		if comma >= 0 {
			require.Equal(t, ",", text[comma:comma+1])
		}
		got = append(got, key+strconv.FormatBool(comma >= 0))
		if p.Peek() == '{' {
			return p.Object(field)
		}
		start = p.Pos()
		raw, err := p.Value()
		require.Equal(t, raw, p.From(start))
		return err
	}
	require.NoError(t, p.Document(text, field))
	require.Equal(t, []string{"afalse", "xfalse", "ytrue", "btrue", "ctrue"}, got)
}

func FuzzDocument(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[1,2,{"b":null}],"c":"d\n\u00e9\ud83d\ude00"}`, `{"a":1,"a":2}`, "{\"a\":\"\xff\"}", `{"ключ":"значение"}`,
		`{"a":"` + strings.Repeat("x", 30) + `\"` + strings.Repeat("é", 9) + `"}`, `{"a":-0.0e-7,"b":true,"c":false}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		values, err := read(string(body))
		if err != nil {
			require.True(t, stricter(body, err), "refused what encoding/json accepts: %v", err)
			return
		}
		require.True(t, utf8.Valid(body))
		want := make(map[string]json.RawMessage)
		require.NoError(t, json.Unmarshal(body, &want), "accepted what encoding/json refuses")
		require.Len(t, values, len(want))
		for key, raw := range values {
			require.Equal(t, string(want[key]), raw)
			var compact bytes.Buffer
			require.NoError(t, json.Compact(&compact, []byte(raw)))
			require.Equal(t, Len(compact.String()), Len(raw))
			require.Len(t, Plain(raw), Len(raw))
			if raw[0] != '"' {
				continue
			}
			p := New(raw)
			text, err := p.Text()
			require.NoError(t, err)
			var s string
			require.NoError(t, json.Unmarshal([]byte(raw), &s))
			require.Equal(t, s, text.String())
			require.Len(t, s, text.Len)
		}
	})
}

// A value is as long, and reads the same, whoever has written it.
func TestASpellingChangesNoLength(t *testing.T) {
	for _, same := range [][]string{
		{`{"a":[1,true,null],"b":"x y"}`, " {\n\t\"a\" : [ 1 , true , null ] ,\r\n\"b\" : \"x y\" } "},
		{`{"é":"/\n"}`, `{"\u00e9":"\/\n"}`, `{"\u00E9":"\u002f\u000a"}`, `{ "é" : "\/\u000A" }`},
		{`"😀"`, `"\ud83d\ude00"`},
		{`{"a":1,"a":2}`, `{"a": 1, "a": 2}`},
	} {
		for _, text := range same {
			require.Equal(t, Plain(same[0]), Plain(text))
			require.Equal(t, Len(same[0]), Len(text), text)
			require.Len(t, Plain(text), Len(text))
		}
	}
	for _, broken := range []string{"", "{", `{"a":}`, `{} x`, `"\x"`} {
		require.Equal(t, len(broken), Len(broken))
		require.Equal(t, broken, Plain(broken))
	}
}

// stricter reports whether a refusal is one of those that encoding/json does not share.
func stricter(body []byte, err error) bool {
	if !json.Valid(body) || !utf8.Valid(body) || bytes.TrimLeft(body, " \t\r\n")[0] != '{' {
		return true
	}
	return strings.Contains(err.Error(), "duplicate key") || strings.Contains(err.Error(), "nested deeper")
}

// chat returns a body of about 800 KB of one text.
func chat(text string) string {
	n := 4000 / len(text)
	msg := `{"role":"user","content":[{"type":"text","text":"` + strings.Repeat(text, n) + `"}]}`
	return `{"max_tokens":100,"messages":[` + strings.Repeat(msg+",", 199) + msg + `]}`
}

func BenchmarkDocument(b *testing.B) {
	tool := `{"name":"get_weather","description":"Gets it","input_schema":{"type":"object","properties":{"city":{"type":"string"},"unit":{"type":"string","enum":["c","f"]}},"required":["city"]}}`
	for _, bc := range []struct{ name, text string }{
		{"Prose", chat(`The quick brown fox jumps over the lazy dog, and then it rests for a while. `)},
		{"Code", chat(`\tif err != nil {\n\t\treturn fmt.Errorf(\"open the file: %w\", err)\n\t}\n`)},
		{"Cyrillic", chat(`Съешь же ещё этих мягких французских булок, да выпей чаю. `)},
		{"EscapedCyrillic", chat(`\u0421\u044a\u0435\u0448\u044c \u0436\u0435 \u0435\u0449\u0451 \u044d\u0442\u0438\u0445 `)},
		{"Tools", `{"tools":[` + strings.Repeat(tool+",", 4499) + tool + `]}`},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(bc.text)))
			b.ReportAllocs()
			var p Scanner
			for b.Loop() {
				if err := p.Document(bc.text, func(string) error { return p.Skip() }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
