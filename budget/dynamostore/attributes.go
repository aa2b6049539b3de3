package dynamostore

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// item is what DynamoDB stores under one key.
type item = map[string]types.AttributeValue

// errEncoding says that an item can't be read: it was written by something else.
var errEncoding = errors.New("dynamostore: an item of the table can't be read: something else writes to it")

// number, bigNumber, text and blob return values of attributes.
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func bigNumber(n *big.Int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: n.String()}
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func blob(raw []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: raw} }

// reader takes an item apart. Its methods return zero for an attribute of another type than they expect, and remember the first such attribute in
// err, so that the caller checks it once at the end.
type reader struct {
	item item
	err  error
}

// fail notes that an attribute did not fit.
func (r *reader) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: attribute %q", errEncoding, name)
	}
}

// number reads an attribute that may be missing.
func (r *reader) number(name string) (n int64, found bool) {
	value, found := r.item[name]
	if !found {
		return 0, false
	}
	typed, ok := value.(*types.AttributeValueMemberN)
	if !ok {
		r.fail(name)
		return 0, false
	}
	n, err := strconv.ParseInt(typed.Value, 10, 64)
	if err != nil {
		r.fail(name)
	}
	return n, err == nil
}

// required reads an attribute that must be there.
func (r *reader) required(name string) int64 {
	n, found := r.number(name)
	if !found {
		r.fail(name)
	}
	return n
}

// clamped reads a number that must be there and that may have left the range of int64, at whose ends it is cut.
func (r *reader) clamped(name string) int64 {
	typed, ok := r.item[name].(*types.AttributeValueMemberN)
	if !ok {
		r.fail(name)
		return 0
	}
	n, err := strconv.ParseInt(typed.Value, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // out of range, n is the nearer end
		r.fail(name)
	}
	return n
}

// flag reads a number that stands for false if it is missing or 0.
func (r *reader) flag(name string) bool {
	n, _ := r.number(name)
	return n != 0
}

// blob reads bytes, of exactly the given length unless that is negative. A missing attribute is nil.
func (r *reader) blob(name string, length int) []byte {
	value, found := r.item[name]
	if !found {
		return nil
	}
	typed, ok := value.(*types.AttributeValueMemberB)
	if !ok || length >= 0 && len(typed.Value) != length {
		r.fail(name)
		return nil
	}
	return typed.Value
}

// bytes16 reads 16 bytes that must be there.
func (r *reader) bytes16(name string) (out [16]byte) {
	if raw := r.blob(name, len(out)); raw != nil {
		return [16]byte(raw)
	}
	r.fail(name)
	return out
}

// text reads a string that must be there.
func (r *reader) text(name string) string {
	typed, ok := r.item[name].(*types.AttributeValueMemberS)
	if !ok {
		r.fail(name)
		return ""
	}
	return typed.Value
}

// expression is the condition and the update of one action of a transaction. In the text, placeholders such as #0 and :0 stand for attributes and
// values, so that nothing of these is ever part of it.
type expression struct {
	conditions, sets, adds, removes []string
	values                          item              // by placeholder
	names                           map[string]string // the attributes, by placeholder
}

// value returns the placeholder of a value.
func (x *expression) value(v types.AttributeValue) string {
	if x.values == nil {
		x.values = make(item)
	}
	name := ":" + strconv.Itoa(len(x.values))
	x.values[name] = v
	return name
}

// name returns the placeholder of an attribute.
func (x *expression) name(attribute string) string {
	if x.names == nil {
		x.names = make(map[string]string)
	}
	for placeholder, known := range x.names {
		if known == attribute {
			return placeholder
		}
	}
	placeholder := "#" + strconv.Itoa(len(x.names))
	x.names[placeholder] = attribute
	return placeholder
}

// require adds a condition: an attribute compared with a value.
func (x *expression) require(attribute, comparison string, v types.AttributeValue) {
	x.conditions = append(x.conditions, x.name(attribute)+" "+comparison+" "+x.value(v))
}

// requireNone adds a condition: the attribute is not there.
func (x *expression) requireNone(attribute string) {
	x.conditions = append(x.conditions, "attribute_not_exists("+x.name(attribute)+")")
}

// requireSome adds a condition: the attribute is there.
func (x *expression) requireSome(attribute string) {
	x.conditions = append(x.conditions, "attribute_exists("+x.name(attribute)+")")
}

// requireUnless adds a condition: the attribute is not there, or compares.
func (x *expression) requireUnless(attribute, comparison string, v types.AttributeValue) {
	name := x.name(attribute)
	x.conditions = append(x.conditions, "(attribute_not_exists("+name+") OR "+name+" "+comparison+" "+x.value(v)+")")
}

// set gives an attribute a value.
func (x *expression) set(attribute string, v types.AttributeValue) {
	x.sets = append(x.sets, x.name(attribute)+" = "+x.value(v))
}

// add changes a number, which begins at zero.
func (x *expression) add(attribute string, n int64) {
	x.adds = append(x.adds, x.name(attribute)+" "+x.value(number(n)))
}

// remove deletes an attribute.
func (x *expression) remove(attribute string) { x.removes = append(x.removes, x.name(attribute)) }

// condition returns the text of the condition, all of whose parts must hold; nil if there is none.
func (x *expression) condition() *string { return joined("", " AND ", x.conditions) }

// update returns the text of the update; nil if there is nothing to change.
func (x *expression) update() *string {
	var clauses []string
	for _, clause := range [...]*string{joined("SET ", ", ", x.sets), joined("ADD ", ", ", x.adds), joined("REMOVE ", ", ", x.removes)} {
		if clause != nil {
			clauses = append(clauses, *clause)
		}
	}
	return joined("", " ", clauses)
}

// joined returns parts with a text before the first one and another one between them; nil for no parts.
func joined(before, between string, parts []string) *string {
	if len(parts) == 0 {
		return nil
	}
	all := before + parts[0]
	for _, part := range parts[1:] {
		all += between + part
	}
	return &all
}

// encodeCharge encodes the amount of each unit in 8 bytes.
func encodeCharge(c driver.Charge) []byte {
	out := make([]byte, 0, len(c)*8)
	for _, n := range c {
		out = appendInt64(out, n)
	}
	return out
}

// decodeCharge reads what encodeCharge wrote. Units that an earlier library did not know stay zero.
func decodeCharge(raw []byte) (c driver.Charge, err error) {
	if len(raw) == 0 || len(raw)%8 != 0 {
		return c, fmt.Errorf("%w: a charge of %d bytes", errEncoding, len(raw))
	}
	if len(raw) > len(c)*8 {
		// The first amount is that of no unit.
		return c, fmt.Errorf("%w: it counts %d units, this library knows %d: use a newer one", errEncoding, len(raw)/8-1, len(c)-1)
	}
	for i := range len(raw) / 8 {
		c[i] = readInt64(raw[i*8:])
	}
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%w: %w", errEncoding, err)
	}
	return c, nil
}

// encodeKeys joins keys.
func encodeKeys(keys []driver.Key) []byte {
	out := make([]byte, 0, len(keys)*16)
	for _, k := range keys {
		out = append(out, k[:]...)
	}
	return out
}

// decodeKeys takes apart what encodeKeys has joined, and returns false for anything else.
func decodeKeys(raw []byte) ([]driver.Key, bool) {
	if len(raw)%16 != 0 {
		return nil, false
	}
	keys := make([]driver.Key, 0, len(raw)/16)
	for chunk := range slices.Chunk(raw, 16) {
		keys = append(keys, driver.Key(chunk))
	}
	return keys, true
}
