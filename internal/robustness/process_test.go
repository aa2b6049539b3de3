package robustness

import (
	"encoding/json"
	"fmt"
	"os"
)

// actAs does a job, and ends the process, if this test binary was started for one of its kind: its environment holds it, as JSON.
func actAs[J any](variable string, do func(*J) error) {
	raw := os.Getenv(variable)
	if raw == "" {
		return
	}
	var job J
	err := json.Unmarshal([]byte(raw), &job)
	if err == nil {
		err = do(&job)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, variable+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}
