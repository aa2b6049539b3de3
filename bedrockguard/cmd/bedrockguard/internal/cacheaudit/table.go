package cacheaudit

import (
	"bytes"
	"encoding/csv"
)

// table is an export of CloudWatch Logs Insights as comma-separated values: one of its columns has the records.
type table struct{ column int }

// newTable parses the first line of a log, and returns nil if it is not the head of such a table.
func newTable(head []byte) *table {
	names := cells(head)
	for i, name := range names {
		// A line of the word message alone may be any text, and is no head of a table.
		if name == "@message" || name == "message" && len(names) > 1 {
			return &table{i}
		}
	}
	return nil
}

// message returns the record in a line, or the line itself if there is none.
func (t *table) message(line []byte) []byte {
	if row := cells(line); t.column < len(row) {
		return []byte(row[t.column])
	}
	return line
}

// cells returns the values of one line, and none if it is not a row.
func cells(line []byte) []string {
	// A line that begins like JSON is no row of a table.
	if len(line) > 0 && (line[0] == '{' || line[0] == '[') {
		return nil
	}
	row, err := csv.NewReader(bytes.NewReader(line)).Read()
	if err != nil {
		return nil
	}
	return row
}
