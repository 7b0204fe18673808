package cli

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/costprof/costprof/internal/store"
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
not lost are recognised. It also says whether the next start will find a disk with room, a clock that runs forward,
and an end that was clean. The server must be stopped. Exit code 0 when nothing has to be done, 1 otherwise.

Examples:

  costprof doctor
  costprof doctor --data /var/lib/costprof --accept-loss`
}

func (c *doctorCmd) Run(s *session) error {
	accepted := ""
	if c.AcceptLoss {
		var err error
		if accepted, err = engines.AcceptLoss(c.Data); err != nil {
			return err
		}
	}
	loss, err := engines.Loss(c.Data)
	if err != nil {
		return err
	}
	found, err := engines.Examine(c.Data)
	if err != nil {
		return err
	}
	healthy := !slices.ContainsFunc(found, func(f store.Finding) bool { return f.Problem })
	if s.root.JSON {
		if err := s.writeValue(map[string]any{"loss": cmp.Or(accepted, loss), "accepted": accepted != "", "healthy": healthy, "findings": found}); err != nil {
			return err
		}
	} else {
		c.print(s, accepted, found)
	}
	if !healthy {
		return errSilent
	}
	return nil
}

func (c *doctorCmd) print(s *session, accepted string, found []store.Finding) {
	if accepted != "" {
		fmt.Fprintf(s.out, "Accepted: %s.\n", accepted)
	}
	for _, f := range found {
		fmt.Fprintf(s.out, "%s.\n", printable(f.What))
		if f.Do != "" {
			fmt.Fprintf(s.out, "  What to do: %s.\n", f.Do)
		}
	}
	if len(found) == 0 {
		fmt.Fprintf(s.out, "Nothing is wrong with %s.\n", c.Data)
	}
}
