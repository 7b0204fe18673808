package cli

import (
	"fmt"
	"strings"

	"github.com/costprof/costprof/client"
)

type eraseCmd struct {
	User    string  `arg:"" help:"The person's user id."`
	Project *string `placeholder:"NAME" help:"Only in this project (default: in all)."`
	Wait    bool    `default:"true" negatable:"" help:"Wait until the ledger's files are written anew."`
}

func (*eraseCmd) Help() string {
	return `Removes the id, the ids of the person's sessions, tags whose value is the id, and metadata from stored events. No total moves, and a
late retry of an erased event brings nothing back. What is sent later is stored as it is sent; backups made before keep what they have.
The audit log has a keyed hash of the id. It needs an admin key, and cannot be undone.

Examples:

  costprof erase user-4711
  costprof erase user-4711 --project search`
}

func (e *eraseCmd) Run(s *session) error {
	who := client.Erasure{UserID: e.User}
	if e.Project != nil {
		if strings.TrimSpace(*e.Project) == "" {
			return usagef("--project must name a project; leave it out for all projects")
		}
		who.Project = *e.Project
	}
	c, err := s.connect()
	if err != nil {
		return err
	}
	erased, err := c.Erase(s.ctx, who)
	if err != nil {
		return err
	}
	if e.Wait {
		if _, err := s.await(c, erased.JobID); err != nil {
			return err
		}
	}
	if s.root.JSON {
		return s.writeValue(map[string]any{"data": erased})
	}
	events := "events"
	if erased.Result.Events == 1 {
		events = "event"
	}
	fmt.Fprintf(s.out, "Erased from %s %s.\n", count(erased.Result.Events), events)
	if !e.Wait {
		s.note("The ledger's files are being written anew: costprof jobs %s", printable(erased.JobID))
	}
	return nil
}
