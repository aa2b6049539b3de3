package catalog

import (
	"math"
	"math/bits"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// classes has the rates of price.Rates in the order of its fields, so that a loop can handle them.
type classes [5]price.PicoUSD

// Indexes of classes.
const (
	classInput = iota
	classOutput
	classCacheRead
	classCacheWrite5m
	classCacheWrite1h
)

// classNames returns the names of the classes, for error texts.
func classNames() [5]string {
	return [...]string{"input", "output", "cache read", "five-minute cache write", "one-hour cache write"}
}

// classesOf returns rates as classes; classes.rates is the way back.
func classesOf(r price.Rates) classes {
	return classes{r.Input, r.Output, r.CacheRead, r.CacheWrite5m, r.CacheWrite1h}
}

// rates is the way back from classesOf.
func (c classes) rates() price.Rates {
	return price.Rates{
		Input: c[classInput], Output: c[classOutput],
		CacheRead: c[classCacheRead], CacheWrite5m: c[classCacheWrite5m], CacheWrite1h: c[classCacheWrite1h],
	}
}

// complete fills in the cache rates that are not published, because a zero rate would bill cached tokens as free. Cache reads and
// five-minute writes get the rate of uncached input. One-hour writes get the rate of five-minute ones and, for models with explicit cache
// points, at least twice the input rate, which is the published price wherever there is one.
func (c classes) complete(rules CacheRules) classes {
	if c[classCacheRead] == 0 {
		c[classCacheRead] = c[classInput]
	}
	if c[classCacheWrite5m] == 0 {
		c[classCacheWrite5m] = c[classInput]
	}
	if c[classCacheWrite1h] == 0 {
		c[classCacheWrite1h] = c[classCacheWrite5m]
		if rules.Explicit {
			c[classCacheWrite1h] = max(c[classCacheWrite5m], 2*c[classInput])
		}
	}
	return c
}

// completeLike fills in the missing rates of an override in proportion to base. Missing cache rates are at least the override's input rate.
func (c classes) completeLike(base classes) classes {
	for i := range c {
		if c[i] != 0 || base[i] == 0 {
			continue
		}
		c[i] = scale(base[i], int64(c[classInput]), int64(base[classInput]))
		if i >= classCacheRead {
			c[i] = max(c[i], c[classInput])
		}
	}
	return c
}

// by multiplies every rate by a factor in thousandths, rounding up.
func (c classes) by(thousandths int64) classes {
	for i := range c {
		c[i] = scale(c[i], thousandths, 1000)
	}
	return c
}

// inProportion multiplies every rate by the ratio of final to base of its class, rounding up. A rate whose base is zero stays as it is.
func (c classes) inProportion(final, base classes) classes {
	for i := range c {
		if base[i] > 0 {
			c[i] = scale(c[i], int64(final[i]), int64(base[i]))
		}
	}
	return c
}

// higher returns the higher rate of each class.
func (c classes) higher(d classes) classes {
	for i := range c {
		c[i] = max(c[i], d[i])
	}
	return c
}

// scale returns n*mul/div for non-negative numbers, rounded up. A result that does not fit, and a division by zero, becomes the largest
// possible rate. No limit has room for that, so the call is refused instead of being priced too low.
func scale(n price.PicoUSD, mul, div int64) price.PicoUSD {
	hi, lo := bits.Mul64(uint64(n), uint64(mul)) // the product, in 128 bits
	if hi >= uint64(div) {                       // the quotient would not fit into 64 bits; also if div is 0
		return math.MaxInt64
	}
	q, r := bits.Div64(hi, lo, uint64(div))
	if r > 0 {
		q++
	}
	return price.PicoUSD(min(q, math.MaxInt64))
}
