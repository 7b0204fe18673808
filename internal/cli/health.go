package cli

import (
	"fmt"
	"maps"
	"slices"
)

type healthCmd struct{}

func (*healthCmd) Help() string {
	return `Exit code 0 while the server can store and answer (also when degraded), 1 otherwise.

Examples:

  costprof health
  costprof health --server http://costs.internal:3100 || echo "costprof is down"`
}

func (*healthCmd) Run(s *session) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	h, err := c.Health(s.ctx)
	if err != nil {
		return err
	}
	if s.root.JSON {
		err = s.writeValue(h)
	} else {
		fmt.Fprintf(s.out, "%s: %s, version %s\n", c.BaseURL(), printable(h.Status), printable(h.Version))
		for _, service := range slices.Sorted(maps.Keys(h.Services)) {
			fmt.Fprintf(s.out, "  %s: %s\n", printable(service), printable(string(h.Services[service])))
		}
	}
	if err == nil && h.Status != "ok" && h.Status != "degraded" {
		return errSilent
	}
	return err
}
