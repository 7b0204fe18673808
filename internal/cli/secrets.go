package cli

import (
	"fmt"
	"time"

	"github.com/costprof/costprof/internal/auth"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/secrets"
)

type secretsCmd struct {
	List   secretsListCmd   `cmd:"" help:"Say which key each secret is sealed with."`
	Rotate secretsRotateCmd `cmd:"" help:"Seal all secrets anew with the first key."`
}

func (*secretsCmd) Help() string {
	return `A ledger makes secrets for itself, such as the key that browsers' sign-ins are signed with. Where ENCRYPTION_KEY is set
they are sealed with it (AES-256-GCM): files and backups of the ledger do not tell them. To change the key:

  1. set ENCRYPTION_KEY to NEW,OLD and start every server with it
  2. costprof secrets rotate --data PLACE, with both in ENCRYPTION_KEY
  3. set ENCRYPTION_KEY to NEW

PLACE is the data directory, with its server stopped, or the database (postgres://…), whose servers may run.`
}

// sealedPlace is a ledger with the keys of its secrets.
type sealedPlace struct {
	Data string   `env:"COSTPROF_DATA" default:"./costprof-data" placeholder:"PLACE" help:"Data directory of a ledger at rest, or postgres:// URL of a database."`
	Keys []string `name:"encryption-key" env:"ENCRYPTION_KEY" sep:"," placeholder:"SECRET[,OLD…]" help:"The keys; better in the environment than in a flag."`
}

// names are the secrets that a ledger keeps.
func (*sealedPlace) names() []string { return []string{auth.SessionKey, prompts.KeySetting} }

func (p *sealedPlace) with(s *session, do func(*secrets.Keeper) ([]secrets.State, error)) error {
	keys, err := secrets.ParseKeys(p.Keys)
	if err != nil {
		return usagef("ENCRYPTION_KEY: %v", err)
	}
	engine, err := place(p.Data).open(s, false)
	if err != nil {
		return err
	}
	states, err := do(&secrets.Keeper{Settings: engine, Keys: keys, Now: time.Now})
	if closing := engine.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return err
	}
	if s.root.JSON {
		if states == nil {
			states = []secrets.State{}
		}
		return s.writeValue(states)
	}
	for _, state := range states {
		how := "not sealed"
		if state.Key != "" {
			how = "sealed with " + printable(state.Key)
		}
		if state.Changed {
			how += ", anew"
		}
		fmt.Fprintf(s.out, "%s: %s\n", state.Name, how)
	}
	if len(states) == 0 {
		fmt.Fprintf(s.out, "No secret was made yet.\n")
	}
	return nil
}

type secretsListCmd struct{ sealedPlace }

func (*secretsListCmd) Help() string {
	return `Names the secrets and the keys, and shows neither. No key is needed.

Examples:

  costprof secrets list --data /var/lib/costprof
  costprof secrets list --data postgres://costprof@db/costprof`
}

func (c *secretsListCmd) Run(s *session) error {
	return c.with(s, func(k *secrets.Keeper) ([]secrets.State, error) { return k.List(s.ctx, c.names()) })
}

type secretsRotateCmd struct{ sealedPlace }

func (*secretsRotateCmd) Help() string {
	return `All are opened before any is changed: one whose key is missing stops it. What the first key sealed already stays as it is.

Examples:

  ENCRYPTION_KEY="$NEW,$OLD" costprof secrets rotate --data /var/lib/costprof`
}

func (c *secretsRotateCmd) Run(s *session) error {
	return c.with(s, func(k *secrets.Keeper) ([]secrets.State, error) {
		return k.Rotate(s.ctx, c.names(), operator().Actor)
	})
}
