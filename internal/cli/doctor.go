package cli

import (
	"fmt"

	"github.com/costprof/costprof/internal/store/engines"
)

// doctorCmd looks at a data directory at rest. It is the way out of the
// degraded state that a lost log leaves a server in.
type doctorCmd struct {
	Data       string `env:"COSTPROF_DATA" default:"./costprof-data" placeholder:"DIR" help:"Data directory of the embedded ledger."`
	AcceptLoss bool   `help:"Accept the loss that is on record, so that the server no longer reports it."`
}

func (*doctorCmd) Help() string {
	return `After a crash that damaged the ledger's log the server says so in /health until somebody has looked: what was
found is kept in quarantine-… inside the data directory. Events that were lost can be sent again; those that were
not lost are recognised. The server must be stopped.

Examples:

  costprof doctor
  costprof doctor --data /var/lib/costprof --accept-loss`
}

func (c *doctorCmd) Run(s *session) error {
	look := engines.Loss
	if c.AcceptLoss {
		look = engines.AcceptLoss
	}
	loss, err := look(c.Data)
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.writeValue(map[string]any{"loss": loss, "accepted": c.AcceptLoss && loss != ""})
	}
	switch {
	case loss == "":
		fmt.Fprintf(s.out, "No loss is on record in %s.\n", c.Data)
	case c.AcceptLoss:
		fmt.Fprintf(s.out, "Accepted: %s.\n", loss)
	default:
		fmt.Fprintf(s.out, "On record: %s.\nTo accept it: costprof doctor --data %s --accept-loss\n", loss, c.Data)
	}
	return nil
}
