// Package request holds what is known of a request whatever its dialect and the door that it comes through: what media are likely to
// count, and which fields change the prompt without being in it.
package request
