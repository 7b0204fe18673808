package cli

type auditCmd struct {
	Cursor string `placeholder:"CURSOR" help:"Go on behind a page; its end names it."`
}

func (*auditCmd) Help() string {
	return `Every change by a person, a key or a job, newest first: keys, prices, re-rates. It needs an admin key for all projects.

Examples:

  costprof audit
  costprof audit --json | jq -r '.data[] | [.at, .actor, .action] | @tsv'`
}

func (a *auditCmd) Run(s *session) error {
	c, err := s.connect()
	if err != nil {
		return err
	}
	if s.root.JSON {
		q := map[string][]string{}
		if a.Cursor != "" {
			q["cursor"] = []string{a.Cursor}
		}
		return s.passOn(c, "admin/audit", q)
	}
	page, err := c.ListAudit(s.ctx, a.Cursor)
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		s.note("Nothing was changed yet.")
		return nil
	}
	t := &table{columns: []column{{title: "AT (UTC)"}, {title: "WHO", shrink: true}, {title: "WHAT"}, {title: "DETAIL", shrink: true}}}
	for _, e := range page.Items {
		t.add(e.At.UTC().Format("2006-01-02 15:04:05"), printable(e.Actor), printable(e.Action), printable(string(e.Detail)))
	}
	t.write(s.out, s.term)
	if page.NextCursor != "" {
		s.note("More: costprof audit --cursor %s", page.NextCursor)
	}
	return nil
}
