package otelguard

// Described is a row of the table of metrics.
type Described struct {
	Name, Kind, Unit string
	Keys             []string
}

// Descriptions returns the table of metrics.
func Descriptions() (all []Described) {
	for _, d := range descriptions {
		all = append(all, Described{d.name, d.kind, d.unit, d.keys})
	}
	return all
}

// Split divides the money of an event.
var Split = split
