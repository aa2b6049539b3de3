package request

import (
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/internal/jsonscan"
)

// settings are the fields that are not part of the prompt and yet change which cached messages are found, as far as is known (2026-11), in
// the order in which they are compared: which tool is to be used, how the model thinks, what it answers and how fast.
var settings = [...]string{
	"tool_choice", "toolChoice", "thinking", "reasoning", "reasoning_config", "reasoningConfig", "reasoning_effort",
	"reasoningEffort", "effort", "output_config", "outputConfig", "speed",
}

// NumSettings is how many settings there are.
const NumSettings = len(settings)

// SettingOf returns the number of the setting that a field is, in whatever dialect, or -1.
func SettingOf(field string) int { return slices.Index(settings[:], field) }

// SettingName returns the field of a setting.
func SettingName(number int) string { return settings[number] }

// IsMarker reports whether a field is a cache point in a dialect whose cache points this module edits, or is meant as one: cacheControl is a
// misspelling of cache_control that no dialect has. Among settings a cache point has no effect.
func IsMarker(field string) bool {
	return MarkerOf(field).CanBePlaced() || field == "cacheControl"
}

// ReadFields reads an object that goes to the model unchanged. It calls the sink's Setting for each setting in it, and misplaced for each field that
// is meant as a cache point, which has no effect there. An object that can't be read is passed over: the SDK reports it when it serialises the
// request.
func ReadFields(d Marshaler, s Sink, misplaced func(field string)) {
	raw, err := d.MarshalSmithyDocument()
	if err != nil {
		return
	}
	fields := jsonscan.New(string(raw))
	// An error ends the reading early, and the members before it were read.
	_ = fields.Object(func(key string) error {
		value, err := fields.Value()
		if err != nil {
			return err
		}
		if IsMarker(key) {
			misplaced(key)
		}
		if isSetting := SettingOf(key) >= 0; isSetting && value != "null" {
			s.Setting(key, value)
		}
		return nil
	})
}

// MediaType splits a media type into the kind of content, "image", "document", "audio" or "video", and Bedrock's name of the format. Both are empty
// for an empty media type. Parameters and capitals change nothing. Of a type that is not known, kind and format are what stands before and after the
// slash.
func MediaType(mediaType string) (kind, format string) {
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	switch mediaType {
	case "":
		return "", ""
	case "application/pdf":
		return "document", "pdf"
	case "text/plain", "application/json", "application/xml", "application/yaml": // texts for which Bedrock has no other name
		return "document", "txt"
	case "application/msword":
		return "document", "doc"
	case "application/vnd.ms-excel":
		return "document", "xls"
	case "text/csv", "text/html":
		return "document", mediaType[len("text/"):]
	case "text/markdown":
		return "document", "md"
	case "application/vnd.openxmlformats-officedocument.wordprocessingml.document":
		return "document", "docx"
	case "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet":
		return "document", "xlsx"
	}
	kind, format, _ = strings.Cut(mediaType, "/")
	return kind, format
}
