package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/costprof/costprof/client"
)

type keysCmd struct {
	Create keysCreateCmd `cmd:"" help:"Make a key; its secret is shown this once."`
	List   keysListCmd   `cmd:"" help:"List keys, oldest first."`
	Rotate keysRotateCmd `cmd:"" help:"Give a key a new secret."`
	Revoke keysRevokeCmd `cmd:"" help:"End a key for ever."`
}

func (*keysCmd) Help() string {
	return `Without any key a server is open, to its own machine only. The first key closes it at once, and for ever: from then on
every request shows a key, as Authorization: Bearer KEY or X-API-Key. Roles:

  ingest   sends events and asks for quotes, nothing else
  viewer   reads
  editor   also changes prices and re-rates
  admin    everything, keys included

A key for one project sees and writes that project only.`
}

// keyring is where keys are kept: a running server, or a ledger at rest.
type keyring interface {
	create(k client.NewKey) (client.MadeKey, error)
	list() ([]client.Key, error)
	rotate(id string, grace time.Duration) (client.MadeKey, error)
	revoke(id string) error
	close() error
}

// resting is the flag by which the commands work without a server.
type resting struct {
	Data string `placeholder:"DIR" help:"Work on this data directory itself, with the server stopped: the way back in when no admin key is left."`
}

func (r *resting) with(s *session, do func(keyring) error) error {
	ring, err := r.open(s)
	if err != nil {
		return err
	}
	err = do(ring)
	if closing := ring.close(); err == nil {
		err = closing
	}
	return err
}

func (r *resting) open(s *session) (keyring, error) {
	if r.Data != "" {
		return openKeyring(s, r.Data)
	}
	c, err := s.connect()
	return &remoteKeys{s: s, c: c}, err
}

// remoteKeys are a running server's.
type remoteKeys struct {
	s *session
	c *client.Client
}

func (r *remoteKeys) create(k client.NewKey) (client.MadeKey, error) {
	return r.c.CreateKey(r.s.ctx, k)
}
func (r *remoteKeys) revoke(id string) error { return r.c.RevokeKey(r.s.ctx, id) }
func (r *remoteKeys) close() error           { return nil }

func (r *remoteKeys) rotate(id string, grace time.Duration) (client.MadeKey, error) {
	return r.c.RotateKey(r.s.ctx, id, grace)
}

func (r *remoteKeys) list() ([]client.Key, error) {
	var all []client.Key
	for cursor := ""; ; {
		page, err := r.c.ListKeys(r.s.ctx, cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if cursor = page.NextCursor; cursor == "" {
			return all, nil
		}
	}
}

type keysCreateCmd struct {
	resting
	Role    string  `required:"" enum:"ingest,viewer,editor,admin" help:"What the key may do: ${enum}."`
	Project *string `placeholder:"NAME" help:"The only project it sees and writes (default: all)."`
	Name    string  `placeholder:"TEXT" help:"What it is for, for people."`
	Expires string  `placeholder:"TIME" help:"When it ends: a date or an instant (default: never)."`
}

func (*keysCreateCmd) Help() string {
	return `Examples:

  costprof keys create --role admin --name me
  costprof keys create --role ingest --project search --name "search in production"
  costprof keys create --role admin --data ./costprof-data     # with the server stopped`
}

func (k *keysCreateCmd) Run(s *session) error {
	in := client.NewKey{Name: k.Name, Role: k.Role}
	if k.Project != nil {
		if strings.TrimSpace(*k.Project) == "" {
			return usagef("--project must name a project; leave it out for a key of all projects")
		}
		in.Project = *k.Project
	}
	expires, err := parseInstant("--expires", k.Expires)
	if err != nil {
		return err
	}
	if !expires.IsZero() {
		in.Expires = &expires
	}
	return k.with(s, func(ring keyring) error {
		made, err := ring.create(in)
		if err != nil {
			return err
		}
		return s.showMade(&made)
	})
}

func (s *session) showMade(made *client.MadeKey) error {
	if s.root.JSON {
		return s.writeValue(made)
	}
	fmt.Fprintf(s.out, "%s\n", made.Secret)
	where := "all projects"
	if made.Project != "" {
		where = "project " + printable(made.Project)
	}
	s.note("Key %s: %s of %s. The secret is shown this once; COSTPROF_KEY or --key shows it to the server.", made.ID, made.Role, where)
	if made.Warning != "" {
		s.note("%s.", printable(made.Warning))
	}
	return nil
}

type keysListCmd struct{ resting }

func (k *keysListCmd) Run(s *session) error {
	return k.with(s, func(ring keyring) error {
		keys, err := ring.list()
		if err != nil {
			return err
		}
		if s.root.JSON {
			return s.writeValue(map[string]any{"data": append([]client.Key{}, keys...)})
		}
		if len(keys) == 0 {
			s.note("There is no key.")
			return nil
		}
		t := &table{columns: []column{{title: "ID"}, {title: "SECRET"}, {title: "ROLE"}, {title: "PROJECT", shrink: true}, {title: "NAME", shrink: true}, {title: "STATE"}, {title: "LAST USED (UTC)", drop: 1}}}
		for _, key := range keys {
			project, used := "(all)", "never"
			if key.Project != "" {
				project = printable(key.Project)
			}
			if key.LastUsed != nil {
				used = key.LastUsed.UTC().Format("2006-01-02 15:04")
			}
			t.add(printable(key.ID), printable(key.Hint)+"…", printable(key.Role), project, printable(key.Name), printable(key.State), used)
		}
		t.write(s.out, s.term)
		return nil
	})
}

type keysRotateCmd struct {
	resting
	ID    string        `arg:"" help:"The key's id."`
	Grace time.Duration `default:"0s" help:"How long the old secret stays good, such as 24h."`
}

func (k *keysRotateCmd) Run(s *session) error {
	return k.with(s, func(ring keyring) error {
		made, err := ring.rotate(k.ID, k.Grace)
		if err != nil {
			return err
		}
		return s.showMade(&made)
	})
}

type keysRevokeCmd struct {
	resting
	ID string `arg:"" help:"The key's id."`
}

func (k *keysRevokeCmd) Run(s *session) error {
	return k.with(s, func(ring keyring) error {
		if err := ring.revoke(k.ID); err != nil {
			return err
		}
		if s.root.JSON {
			return s.writeValue(map[string]any{"revoked": k.ID})
		}
		s.note("Revoked %s.", printable(k.ID))
		return nil
	})
}
