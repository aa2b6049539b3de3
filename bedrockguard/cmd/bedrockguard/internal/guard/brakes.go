package guard

import (
	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
)

// brakeFlags are the flags that stop programs which repeat themselves.
func brakeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "brake-identical", Usage: "refuse the same request after it was sent so often in a row; any number unless set", HideDefault: true},
		&cli.IntFlag{Name: "brake-tool-errors", Usage: "refuse to go on after so many turns in a row with the same error of a tool; any number unless set", HideDefault: true},
		&cli.IntFlag{Name: "brake-stalled", Usage: "refuse to go on after so many turns in a row that say what was said before; any number unless set", HideDefault: true},
	}
}

// brakesOf returns the brakes that the flags set. 0, which is also an unset flag, means no brake.
func brakesOf(c *cli.Command) bedrockguard.Brakes {
	return bedrockguard.Brakes{Identical: c.Int("brake-identical"), ToolErrors: c.Int("brake-tool-errors"), Stalled: c.Int("brake-stalled")}
}
