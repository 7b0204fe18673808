package cli

import (
	"github.com/costprof/costprof/internal/app"
	"github.com/costprof/costprof/internal/config"
)

type serveCmd struct {
	config.Config
}

func (*serveCmd) Help() string {
	return `Every setting is a flag, an environment variable, a line of .env in the working directory or a key of a config
file; the first of these that has it wins. Ctrl-C finishes accepted requests and closes the ledger clean; a second
one ends the process at once, which loses nothing that was acknowledged.

Examples:

  costprof serve
  costprof serve --data /var/lib/costprof --port 3200
  COSTPROF_CONFIG=/etc/costprof.yaml costprof serve`
}

func (c *serveCmd) Run(s *session) error {
	if err := c.Validate(); err != nil {
		return usageError{err.Error()}
	}
	log, level := app.NewLog(&c.Config, s.stdio.Err)
	return app.Run(s.ctx, app.Params{Config: &c.Config, Version: buildVersion(), Out: s.stdio.Out, Log: log, Level: level})
}
