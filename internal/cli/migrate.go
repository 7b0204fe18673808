package cli

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/store"
)

type migrateCmd struct {
	From  place `required:"" placeholder:"PLACE" help:"The ledger to move: a data directory or a postgres:// URL."`
	To    place `required:"" placeholder:"PLACE" help:"The ledger to fill: a data directory or a postgres:// URL."`
	Force bool  `help:"Replace a ledger at --to that is not empty, wholly and for ever."`
}

func (*migrateCmd) Help() string {
	return `Moves a ledger to the other engine, or to another place, with the servers of both stopped. The one at --from is left as it
is. At the end every row of both is read and compared, and both are asked for the totals by project, feature and
model: the command ends well only when all is the same.

Examples:

  costprof migrate --from ./costprof-data --to postgres://costprof@db.internal/costprof
  costprof migrate --from postgres://costprof@db.internal/costprof --to /var/lib/costprof`
}

func (c *migrateCmd) Run(s *session) error {
	if c.From == c.To {
		return usagef("--from and --to name the same ledger")
	}
	from, err := c.From.open(s, true)
	if err != nil {
		return err
	}
	err = c.move(s, from)
	return errors.Join(err, from.Close())
}

func (c *migrateCmd) move(s *session, from store.Engine) error {
	bar := newProgress(s.stdio.Err)
	defer bar.clear()
	health, err := from.Ping(s.ctx)
	if err != nil {
		return err
	}
	watched := func(what string, to ...store.Sink) store.Sink {
		counter := &rowCounter{bar: bar, what: what}
		counter.done = func() (int64, int64) { return counter.events, health.Events }
		return backup.Tee(append(to, counter)...)
	}
	left := backup.NewTally()
	if err := c.To.load(s, store.Load{Force: c.Force, Source: func(ctx context.Context, to store.Sink) error {
		return from.Dump(ctx, watched("migrate", to, left))
	}}); err != nil {
		return err
	}
	to, err := c.To.open(s, true)
	if err != nil {
		return err
	}
	defer func() { _ = to.Close() }() // it was only read
	right := backup.NewTally()
	err = to.Dump(s.ctx, watched("compare", right))
	if err == nil {
		err = left.Equal(right)
	}
	if err == nil {
		err = sameAnswers(s.ctx, from, to)
	}
	bar.clear()
	if err != nil {
		return fmt.Errorf("the ledger at %s is not the same as that at %s, do not use it: %w", c.To, c.From, err)
	}
	return c.show(s, left, right)
}

// sameAnswers asks both ledgers for their totals: what engines keep beside the
// rows answers, too.
func sameAnswers(ctx context.Context, from, to store.Ledger) error {
	q := analytics.Query{
		GroupBy:  []analytics.Dimension{analytics.Project, analytics.Feature, analytics.Model},
		Measures: analytics.EveryMeasure &^ analytics.MeasureP95,
	}
	left, err := from.Query(ctx, q)
	if err != nil {
		return err
	}
	right, err := to.Query(ctx, q)
	if err != nil {
		return err
	}
	right.AsOf, right.Revision = left.AsOf, left.Revision
	if !reflect.DeepEqual(left, right) {
		return errors.New("they answer differently what was spent by project, feature and model")
	}
	return nil
}

func (c *migrateCmd) show(s *session, left, right *backup.Tally) error {
	names, sums := left.Projects()
	_, there := right.Projects()
	if s.root.JSON {
		type project struct {
			Project string `json:"project"`
			Calls   int64  `json:"calls"`
			Cost    any    `json:"cost"`
		}
		projects := []project{}
		for _, name := range names {
			projects = append(projects, project{name, sums[name].Calls, sums[name].Cost})
		}
		return s.writeValue(map[string]any{
			"from": c.From.String(), "to": c.To.String(), "events": left.Rows(store.EventsTable), "groups": len(left.Groups), "equal": true, "projects": projects,
		})
	}
	t := &table{columns: []column{{title: "PROJECT", shrink: true}, {title: "CALLS", right: true}, {title: "COST", right: true}, {title: "CALLS THERE", right: true}, {title: "COST THERE", right: true}}}
	for _, name := range names {
		a, b := sums[name], there[name]
		t.add(printable(name), count(a.Calls), a.Cost.String(), count(b.Calls), b.Cost.String())
	}
	t.write(s.out, s.term)
	fmt.Fprintf(s.out, "Moved %s events to %s. Every row is the same on both sides, and so are the totals of all %s combinations of project, feature, model and source.\n",
		count(left.Rows(store.EventsTable)), printable(c.To.String()), count(int64(len(left.Groups))))
	return nil
}
