package catalog

import (
	"errors"
	"fmt"
	"strings"
)

// The outcomes that a caller branches on.
var (
	// ErrUnpriced says that no price is known for what was asked. *UnpricedError carries the details.
	ErrUnpriced = errors.New("bedrockguard: no price is known")
	// ErrInvalidModel says that a model, or a mapping to one, cannot be used. *ModelError carries the details.
	ErrInvalidModel = errors.New("bedrockguard: invalid model")
	// ErrInvalidFile says that a model file cannot be read. *FileError carries the details.
	ErrInvalidFile = errors.New("bedrockguard: invalid model file")
	// ErrFileTooLarge is an ErrInvalidFile for a file beyond MaxFileBytes.
	ErrFileTooLarge = fmt.Errorf("%w: too large", ErrInvalidFile)
)

// UnpricedError says that a call has no known price, and so must not be sent. It unwraps to ErrUnpriced.
type UnpricedError struct {
	// ModelID is what the caller asked for; anything but visible ASCII is replaced by '?', and what is beyond 128 bytes by "...".
	ModelID string
	// Region is the caller's region, treated the same way, but from 32 bytes on; empty when unknown, and for service tiers.
	Region string
	// Reason says why there is no price, and what to do.
	Reason string
}

// Error names the model, the region and what to do.
func (e *UnpricedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "bedrockguard: no price for %q", e.ModelID)
	if e.Region != "" {
		b.WriteString(" in " + e.Region)
	}
	return b.String() + ": " + e.Reason
}

// Unwrap returns ErrUnpriced.
func (e *UnpricedError) Unwrap() error { return ErrUnpriced }

// unpriced returns the error for a call without a price. The caller's texts are cut and cleaned.
func unpriced(modelID, region, reason string) *UnpricedError {
	return &UnpricedError{ModelID: printable(modelID, 128), Region: printable(region, 32), Reason: reason}
}

// ModelError is one problem of one model or mapping. It unwraps to ErrInvalidModel.
type ModelError struct {
	// ModelID is the model, or the mapped id, cut and cleaned like that of an UnpricedError. It is empty when the id is.
	ModelID string
	// Problem says what is wrong, and what to do.
	Problem string
}

// Error names the model and the problem.
func (e *ModelError) Error() string {
	return fmt.Sprintf("bedrockguard: model %q: %s", e.ModelID, e.Problem)
}

// Unwrap returns ErrInvalidModel.
func (e *ModelError) Unwrap() error { return ErrInvalidModel }

// modelProblem returns the error for one problem of a model or a mapping. The id is cut and cleaned; other texts of the caller have to be so already.
func modelProblem(modelID, format string, args ...any) *ModelError {
	return &ModelError{ModelID: printable(modelID, 128), Problem: fmt.Sprintf(format, args...)}
}

// FileError says that a model file can't be read. It unwraps to ErrInvalidFile and to its cause, if it has one.
type FileError struct {
	// Problem says what is wrong, and where.
	Problem string
	// Err is the cause; nil if there is none besides Problem.
	Err error
}

// Error says what is wrong with the file.
func (e *FileError) Error() string {
	if e.Err == nil {
		return "bedrockguard: model file: " + e.Problem
	}
	return "bedrockguard: model file: " + e.Problem + ": " + e.Err.Error()
}

// Unwrap returns ErrInvalidFile and the cause.
func (e *FileError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrInvalidFile}
	}
	return []error{ErrInvalidFile, e.Err}
}

// printable makes a caller's text safe to print: at most limit bytes of visible ASCII, and three dots behind them if it was longer.
func printable(s string, limit int) string {
	cut := len(s) > limit
	if cut {
		s = s[:limit]
	}
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	if cut {
		s += "..."
	}
	return s
}

// visible reports whether s is only visible ASCII, the alphabet of model ids and ARNs.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
