package pgstore

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
)

// nullUUID is a null argument of type uuid.
type nullUUID struct{}

// appendLiteral writes an argument as SQL, with its type. Text and bytes are written as hexadecimal digits, so that nothing in them can end
// a literal, whatever the session's settings are. A nil is a null bigint, and a nil slice a null array, except that nil bytes
// are empty bytes.
//
// Arguments are in the statement and not sent separately, because only then is a whole step one message of the protocol: if a host is cut
// off while it sends, the server has begun nothing and holds no lock.
func appendLiteral(b []byte, arg any) ([]byte, error) {
	switch v := arg.(type) {
	case nil:
		return append(b, "NULL::int8"...), nil
	case nullUUID:
		return append(b, "NULL::uuid"...), nil
	case int64:
		// In quotes, because a minus outside of them would be applied only after the cast, and the cast refuses the digits of the smallest int64.
		return append(appendInt(append(b, '\''), v), "'::int8"...), nil
	case int32:
		return append(appendInt(append(b, '\''), int64(v)), "'::int4"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		if v == "" {
			return append(b, "''::text"...), nil
		}
		return append(appendHex(append(b, "convert_from("...), []byte(v)), ", 'UTF8')"...), nil
	case []byte:
		return appendHex(b, v), nil
	case [16]byte:
		b = hex.AppendEncode(append(b, '\''), v[:])
		return append(b, "'::uuid"...), nil
	default:
		return appendSlice(b, arg)
	}
}

// appendSlice is appendLiteral for the slices that become an array. Any other type is an error.
func appendSlice(b []byte, arg any) ([]byte, error) {
	switch v := arg.(type) {
	case []pgtype.UUID:
		return appendArray(b, v, "uuid", func(b []byte, u pgtype.UUID) []byte { return hex.AppendEncode(b, u.Bytes[:]) }), nil
	case []int64:
		return appendArray(b, v, "int8", appendInt), nil
	case []int32:
		return appendArray(b, v, "int4", func(b []byte, n int32) []byte { return appendInt(b, int64(n)) }), nil
	case []bool:
		return appendArray(b, v, "bool", strconv.AppendBool), nil
	case []float64:
		return appendArray(b, v, "float8", func(b []byte, f float64) []byte {
			return strconv.AppendFloat(b, f, 'g', -1, 64)
		}), nil
	case []string:
		return appendCalls(b, v, "text", func(b []byte, s string) []byte {
			return append(appendHex(append(b, "convert_from("...), []byte(s)), ", 'UTF8')"...)
		}), nil
	case [][]byte:
		return appendCalls(b, v, "bytea", appendHex), nil
	default:
		return nil, problem(fmt.Sprintf("an argument of type %T", arg))
	}
}

// appendInt writes digits, without quotes.
func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }

// appendHex writes bytes as an expression of type bytea.
func appendHex(b, v []byte) []byte {
	if len(v) == 0 {
		return append(b, "''::bytea"...)
	}
	return append(hex.AppendEncode(append(b, "decode('"...), v), "', 'hex')"...)
}

// appendArray writes an array as one quoted literal, which its elements, written by one, must not be able to end: numbers and hexadecimal digits
// can't. A nil array is null.
func appendArray[T any](b []byte, all []T, kind string, one func([]byte, T) []byte) []byte {
	if all == nil {
		return append(append(b, "NULL::"...), kind+"[]"...)
	}
	b = append(b, "'{"...)
	for i, v := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = one(b, v)
	}
	return append(append(b, "}'::"...), kind+"[]"...)
}

// appendCalls writes an array whose elements, written by one, are expressions: text and bytes need calls of convert_from and decode, which a quoted
// literal can't contain. A nil array is null.
func appendCalls[T any](b []byte, all []T, kind string, one func([]byte, T) []byte) []byte {
	if all == nil {
		return append(append(b, "NULL::"...), kind+"[]"...)
	}
	b = append(b, "ARRAY["...)
	for i, v := range all {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = one(b, v)
	}
	return append(append(b, "]::"...), kind+"[]"...)
}
