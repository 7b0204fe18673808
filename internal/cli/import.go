package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // --timezone means the same on every machine
	"unicode/utf8"

	"github.com/costprof/costprof/internal/ingest/csvevents"
)

type importCmd struct {
	Files []string `arg:"" name:"file" help:"Files to load, folders, or patterns such as 'logs/*.jsonl'; - is standard input. Gzip and Zstandard are unpacked."`

	Feature string `short:"f" placeholder:"NAME" help:"What the calls were for; the same as --set feature=NAME."`

	Map       []string `short:"m" sep:"none" placeholder:"FIELD=COLUMN" help:"Take an event's field from a column; repeat for more. Fields are those of the API, usage.NAME and tags.NAME."`
	Set       []string `short:"s" sep:"none" placeholder:"FIELD=VALUE" help:"Give every event a field, unless its column has a value; repeat for more."`
	Format    string   `placeholder:"NAME" help:"Kind of the files: csv, ndjson, responses, claude-code, codex, litellm or langfuse (default: by what is in them)."`
	Delimiter string   `placeholder:"CHAR" help:"What separates CSV cells, for example ';' or tab (default: a comma)."`
	Time      string   `placeholder:"unix|unixms" help:"Timestamps are seconds or milliseconds since 1970."`
	Timezone  string   `placeholder:"ZONE" help:"Zone of timestamps that name none, for example Europe/Berlin (default: UTC)."`

	Unfinished bool `help:"Also load a call at the end of a log that is still told in part; it stays as it is then."`
}

func (*importCmd) Help() string {
	return `Reads what "costprof events --json" writes, and any CSV or NDJSON whose columns are named like an event's
fields or mapped to them with --map and --set. Logs of others are recognised by what is in them:

  responses    what OpenAI, Anthropic, Gemini, Azure, Bedrock or OpenRouter answered, one body a line, also streamed
               or within what a gateway or a batch writes around it
  claude-code  transcripts, for example ~/.claude/projects
  codex        transcripts, for example ~/.codex/sessions
  litellm      rows of LiteLLM_SpendLogs, and payloads of its generic callback, as JSON or CSV
  langfuse     exports of observations, as JSON or CSV

An import can be repeated: the server recognises every call, so a second import of the same file, or of the file
grown longer, adds only what is new. A call is known by the id that its provider or logger gave it; one without, by
what it says and by how many identical ones stand before it in its file. After Ctrl-C, or an error, run the same
command again.

With logs, --set and --feature go before what the log says, but for a timestamp, which only fills a gap. A log that
tells no time at all takes the time of its file. A call at the end of a file that is still told in part, and the
file younger than 15 minutes, is left for the next import.

Rows that break a rule are listed as FILE:LINE: REASON and make the exit code 1; all others are stored.

Examples:

  costprof import november.ndjson.zst
  costprof import ~/.claude/projects ~/.codex/sessions
  costprof import 'gateway/*.jsonl.gz' --feature support-chat --set environment=production
  costprof import code.csv --map timestamp=TIMESTAMP --map inputTokens=ContextTokens \
    --map outputTokens=GeneratedTokens --set feature=code --set provider=openai --set model=gpt-4o
  zcat logs/*.gz | costprof import - --format ndjson --set environment=production`
}

func (cmd *importCmd) options() (csvevents.Options, error) {
	o := csvevents.Options{Time: csvevents.TimeFormat(cmd.Time)}
	if f := csvevents.Format(cmd.Format); f == csvevents.CSV || f == csvevents.NDJSON {
		o.Format = f
	}
	if cmd.Time != "" && o.Time != csvevents.UnixSeconds && o.Time != csvevents.UnixMillis {
		return o, usagef("--time must be unix or unixms")
	}
	var err error
	if o.Map, err = pairs("--map", "FIELD=COLUMN", cmd.Map); err != nil {
		return o, err
	}
	if o.Set, err = pairs("--set", "FIELD=VALUE", cmd.Set); err != nil {
		return o, err
	}
	if cmd.Feature != "" {
		if _, twice := o.Set["feature"]; twice {
			return o, usagef("--feature and --set feature= say the same; give one")
		}
		o.Set["feature"] = cmd.Feature
	}
	switch cmd.Delimiter {
	case "":
	case "tab", `\t`:
		o.Comma = '\t'
	default:
		r, n := utf8.DecodeRuneInString(cmd.Delimiter)
		if n != len(cmd.Delimiter) {
			return o, usagef("--delimiter must be one character, or tab")
		}
		o.Comma = r
	}
	if cmd.Timezone != "" {
		if o.Location, err = time.LoadLocation(cmd.Timezone); err != nil || cmd.Timezone == "Local" {
			return o, usagef("--timezone %q is not an IANA zone such as Europe/Berlin", cmd.Timezone)
		}
	}
	return o, nil
}

func pairs(flag, form string, list []string) (map[string]string, error) {
	m := make(map[string]string, len(list))
	for _, text := range list {
		field, value, ok := strings.Cut(text, "=")
		if !ok || field == "" {
			return nil, usagef("%s %q must be %s", flag, text, form)
		}
		if _, twice := m[field]; twice {
			return nil, usagef("%s gives %s twice", flag, field)
		}
		m[field] = value
	}
	return m, nil
}

func (cmd *importCmd) Run(s *session) error {
	options, err := cmd.options()
	if err != nil {
		return err
	}
	kinds, err := newKinds(cmd, options)
	if err != nil {
		return err
	}
	// A misspelt name must not be found after an hour of the files before it.
	inputs, err := expand(cmd.Files)
	if err != nil {
		return err
	}
	if err := s.reach(); err != nil {
		return err
	}
	progress := newProgress(s.stdio.Err)
	c, err := s.connect(s.patient(progress.say)...)
	if err != nil {
		return err
	}
	l := &load{s: s, options: options, kinds: kinds, inputs: inputs, pump: newPump(s.ctx, c), progress: progress, unfinished: cmd.Unfinished, now: time.Now}
	defer l.close()
	err = l.survey()
	for i := range inputs {
		if err != nil {
			break
		}
		err = l.file(i)
	}
	if err == nil {
		err = l.pump.flush()
	}
	done, sendErr := l.pump.close()
	progress.clear()
	if sendErr != nil {
		err = sendErr
	}
	return cmd.tell(s, &done, l, err)
}

// tell says what became of the rows; cause is what ended the import early.
func (cmd *importCmd) tell(s *session, done *tally, l *load, cause error) error {
	for _, r := range done.rejects {
		s.note("%s:%d: %s", printable(l.inputs[r.file].path), r.line, printable(r.reason))
	}
	if more := done.Rejected - len(done.rejects); more > 0 {
		s.note("… and %d more rejected rows.", more)
	}
	for _, w := range done.warnings {
		s.note("Warning: %s", printable(w))
	}
	if s.root.JSON {
		type rejection struct {
			File  string `json:"file"`
			Line  int    `json:"line"`
			Error string `json:"error"`
		}
		list := []rejection{}
		for _, r := range done.rejects {
			list = append(list, rejection{l.inputs[r.file].path, r.line, r.reason})
		}
		answer := map[string]any{
			"rows": done.rows(), "accepted": done.New, "duplicates": done.Duplicates, "marked": done.Marked, "conflicts": done.Conflicts,
			"rejected": done.Rejected, "rejections": list, "complete": cause == nil && l.failed == 0,
		}
		l.report(answer, done)
		if err := s.writeValue(answer); err != nil {
			return err
		}
	} else {
		line := fmt.Sprintf("%d rows: %d new, %d already there, %d rejected", done.rows(), done.New, done.Duplicates, done.Rejected)
		if done.Marked > 0 {
			line += fmt.Sprintf(", %d of those already there now known to sum up others (they left all totals)", done.Marked)
		}
		if done.Conflicts > 0 {
			line += fmt.Sprintf(", %d whose eventId belongs to another event (that one is kept)", done.Conflicts)
		}
		fmt.Fprintln(s.out, line)
		l.summarise(done)
	}
	switch {
	case errors.Is(cause, context.Canceled):
		s.note("Stopped. Run the same command again to go on: what is stored is recognised and not counted twice.")
		return cause
	case cause != nil:
		s.note("The import is not complete. Run the same command again to go on: what is stored is recognised and not counted twice.")
		return cause
	}
	if done.New > 0 && l.old(time.Now()) {
		s.note("These calls are older than the 30 days that questions are about by default; try: costprof breakdown --from %s --to %s", l.first, l.last)
	}
	if done.Rejected > 0 || l.failed > 0 {
		return errSilent
	}
	return nil
}
