package cli

import (
	"context"
	"fmt"

	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/store"
)

type restoreCmd struct {
	File  string `arg:"" help:"A file that costprof backup wrote."`
	Data  place  `env:"DATABASE_URL,COSTPROF_DATA" default:"./costprof-data" placeholder:"PLACE" help:"The ledger to fill: a data directory or a postgres:// URL."`
	Force bool   `help:"Replace a ledger that is not empty, wholly and for ever."`
}

func (*restoreCmd) Help() string {
	return `Makes a ledger of a backup, in either engine, with the server stopped: the same calls, ids, costs, prices and keys. The whole
file is checked before anything is changed; a restore that is cut off leaves what was there. A ledger that is not
empty is replaced only with --force.

Examples:

  costprof restore costs.backup
  costprof restore costs.backup --data /var/lib/costprof --force
  costprof restore costs.backup --data postgres://costprof@db.internal/costprof     # the password from PGPASSWORD`
}

func (c *restoreCmd) Run(s *session) error {
	found, err := s.readBackup(s.ctx, c.File, "check", backup.NewTally())
	if err != nil {
		return err
	}
	s.note("%s is whole: %s events as of %s, by %s.", printable(c.File), count(found.Events), printable(found.Made), printable(found.By))
	err = c.Data.load(s, store.Load{Force: c.Force, Source: func(ctx context.Context, to store.Sink) error {
		_, err := s.readBackup(ctx, c.File, "restore", to)
		return err
	}})
	if err != nil {
		return err
	}
	if s.root.JSON {
		return s.writeValue(map[string]any{"restored": found, "into": c.Data.String()})
	}
	fmt.Fprintf(s.out, "Restored %s events into %s.\n", count(found.Events), printable(c.Data.String()))
	return nil
}
