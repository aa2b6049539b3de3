package bedrockguard

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
)

func ExampleModels() {
	for m := range Models() {
		if m.Provider == "zai" && m.Mode == ModeChat {
			london := m.RegionOverrides["eu-west-2"]
			fmt.Printf("%s: %d pico-USD a token in, %d in London\n", m.ID, m.Price.Rates.Input, london.Input)
		}
	}
	// Output:
	// zai.glm-4.6: 600000 pico-USD a token in, 0 in London
	// zai.glm-4.7: 600000 pico-USD a token in, 0 in London
	// zai.glm-4.7-flash: 70000 pico-USD a token in, 110000 in London
	// zai.glm-5: 1000000 pico-USD a token in, 1550000 in London
	// zai.glm-5.3: 1680000 pico-USD a token in, 0 in London
}

func ExampleReadModels() {
	models, err := ReadModels(strings.NewReader(`{"date": "2026-11-28", "models": [
	  {"id": "acme.large-v1", "max_output_tokens": 8192, "usd_per_mtok": {"input": "3", "output": "15"}},
	  {"id": "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123", "max_output_tokens": 8192,
	   "usd_per_mtok": {"input": "0", "output": "0"}}
	]}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range models {
		fmt.Println(m.ID, m.Price.Rates.Input, m.Price.Rates.Output, m.Free)
	}
	_, err = ReadModels(strings.NewReader(`{"date": "2026-11-28", "models": [{"id": "acme.small-v1", "max_output_tokens": 8192}]}`))
	fmt.Println(strings.Split(err.Error(), "\n")[0])
	// Output:
	// acme.large-v1 3000000 15000000 false
	// arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc123 0 0 true
	// bedrockguard: model "acme.small-v1": price: the input rate is missing
}

// A field that one of the two types of a model has and the other loses would be a price that nobody charges.
func TestModelsLoseNoFieldOnTheirWayToTheCatalog(t *testing.T) {
	var full Model
	fill(t, reflect.ValueOf(&full).Elem())
	assert.Equal(t, full, fromCatalog(full.catalog()))

	var theirs catalog.Model
	fill(t, reflect.ValueOf(&theirs).Elem())
	ours := fromCatalog(theirs)
	assert.Equal(t, theirs, ours.catalog())
	assert.Equal(t, reflect.TypeFor[catalog.Model]().NumField(), reflect.TypeFor[Model]().NumField())
	assert.Equal(t, Model{}, fromCatalog(catalog.Model{}))
	assert.Equal(t, catalog.Model{}, (&Model{}).catalog())
}

// fill sets every field to a value that is not zero and differs from its neighbours'.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	next := int64(1)
	var set func(reflect.Value)
	set = func(v reflect.Value) {
		next++
		switch v.Kind() {
		case reflect.String:
			v.SetString(fmt.Sprint("text ", next))
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(next)
		case reflect.Struct:
			for i := range v.NumField() {
				set(v.Field(i))
			}
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			set(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			set(v.Index(0))
		case reflect.Map:
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			set(key)
			set(value)
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(key, value)
		default:
			t.Fatalf("a field of kind %s: teach fill", v.Kind())
		}
	}
	set(v)
}

// The constants of a model are those that the catalog understands.
func TestModesAndLifecyclesAreTheCatalogs(t *testing.T) {
	modes := map[Mode]bool{"": true, ModeChat: true, ModeEmbedding: true, ModeRerank: true, ModeImage: true, ModeVideo: true, ModeVideoUnderstanding: true, ModeRealtime: true}
	lifecycles := map[Lifecycle]bool{LifecycleActive: true, LifecycleGated: true, LifecycleLegacy: true, LifecycleDeprecated: true, LifecycleEndOfLife: true}
	count := 0
	for m := range Models() {
		count++
		assert.True(t, modes[m.Mode], m.ID)
		assert.True(t, lifecycles[m.Lifecycle], m.ID)
		back := []Model{m}
		_, err := catalog.Default().With(toCatalog(back)...)
		require.NoError(t, err, m.ID)
	}
	assert.Equal(t, 174, count)
}

// What Models yields is a copy: no caller can change a price of the table.
func TestModelsAreCopies(t *testing.T) {
	first := func() Model {
		for m := range Models() {
			if m.ID == "openai.gpt-oss-120b-1:0" {
				return m
			}
		}
		return Model{}
	}
	m := first()
	m.RegionOverrides["eu-west-2"] = price.Rates{}
	m.Tiers["flex"] = 1
	m.TierOverrides["eu-west-2"]["flex"] = 1
	m.Aliases[0] = "x"
	assert.Equal(t, price.PicoUSD(230_000), first().RegionOverrides["eu-west-2"].Input)
	assert.Equal(t, price.Tier(500), first().Tiers["flex"])
	assert.Equal(t, price.Tier(522), first().TierOverrides["eu-west-2"]["flex"])
	assert.Equal(t, "openai.gpt-oss-120b", first().Aliases[0])
}

// Errors of a model file are the exported ones, and no model comes with them.
func TestReadModelsRefuses(t *testing.T) {
	for text, want := range map[string]error{
		`{"models": []}`: catalog.ErrInvalidFile,
		`{"date": "2026-11-28", "models": [{"id": "a.b"}]}`: catalog.ErrInvalidModel,
	} {
		models, err := ReadModels(strings.NewReader(text))
		require.ErrorIs(t, err, want)
		assert.Nil(t, models)
	}
}
