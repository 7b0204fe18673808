package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/costprof/costprof/internal/ingest/calllog"
	"github.com/costprof/costprof/internal/ingest/calllog/claudecode"
	"github.com/costprof/costprof/internal/ingest/calllog/codex"
	"github.com/costprof/costprof/internal/ingest/calllog/langfuse"
	"github.com/costprof/costprof/internal/ingest/calllog/litellm"
	"github.com/costprof/costprof/internal/ingest/calllog/responses"
	"github.com/costprof/costprof/internal/ingest/csvevents"
)

const (
	// maxHead is how much of a file is looked at to tell what it is. A transcript
	// may begin with a picture.
	maxHead = 8 << 20
	// stillWritten is how long after its last change a log may go on with the
	// call at its end. No answer takes longer.
	stillWritten = 15 * time.Minute
)

// kinds are the formats of others' logs, for one import.
type kinds struct {
	logs []calllog.Kind
	// forced is what --format names: a log's, or rows.
	forced *calllog.Kind
	rows   bool
	// set is what --set gives, as members of a wire event.
	set json.RawMessage
}

// format is what a file turned out to be: a log, or rows if log is nil.
type format struct {
	log *calllog.Kind
	// known says that the rows are events, or mapped to them.
	known bool
	// head is how the file begins.
	head []byte
}

// own is the program's own export, which no log is taken for.
const own = "own"

func newKinds(cmd *importCmd, o csvevents.Options) (*kinds, error) {
	k := &kinds{logs: []calllog.Kind{
		{Name: own, Recognise: func(o calllog.Object) bool {
			return o.Has("feature", "inputTokens", "timestamp") || o.Has("traceId", "spanId", "feature")
		}},
		claudecode.Kind(), codex.Kind(), litellm.Kind(), langfuse.Kind(), responses.Kind(),
	}}
	// These are about columns.
	k.rows = len(cmd.Map) > 0 || cmd.Time != "" || cmd.Delimiter != ""
	switch f := csvevents.Format(cmd.Format); f {
	case csvevents.Auto:
	case csvevents.CSV, csvevents.NDJSON:
		k.rows = true
	default:
		i := slices.IndexFunc(k.logs, func(k calllog.Kind) bool { return k.Name == cmd.Format && k.Name != own })
		switch {
		case i < 0:
			names := []string{string(csvevents.CSV), string(csvevents.NDJSON)}
			for _, log := range k.logs[1:] {
				names = append(names, log.Name)
			}
			return nil, usagef("--format must be one of %s", strings.Join(names, ", "))
		case k.rows:
			return nil, usagef("--map, --time and --delimiter are about the columns of csv and ndjson, not about %s", cmd.Format)
		}
		k.forced = &k.logs[i]
	}
	var err error
	k.set, err = csvevents.Constants(o.Set, o.Location)
	return k, err
}

// surveys says whether a format that wants to see everything first may come.
func (k *kinds) surveys() bool {
	return !k.rows && (k.forced == nil || k.forced.Survey != nil)
}

// find tells what a file is, by its beginning, which stays to be read.
func (k *kinds) find(r *bufio.Reader) (format, error) {
	if k.rows {
		return format{known: true}, nil
	}
	tried := 0
	for {
		// A pipe gives what it has; waiting for more than decides would stop it.
		head, err := r.Peek(min(r.Buffered()+1, maxHead))
		head, _ = r.Peek(max(len(head), r.Buffered()))
		ended := err != nil
		if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
			return format{}, err
		}
		if k.forced != nil && (ended || len(head) >= 512 || bytes.IndexByte(head, '\n') >= 0) {
			return format{log: k.forced, head: bytes.Clone(head[:min(len(head), 64<<10)])}, nil //nolint:nilerr // what is there decides, its end too
		}
		full := ended || len(head) >= maxHead
		if full || len(head) >= 2*tried {
			tried = len(head)
			if f, ok := k.recognise(head, full); ok {
				return f, nil
			}
		}
		if full {
			return format{}, nil
		}
	}
}

func (k *kinds) recognise(head []byte, whole bool) (format, bool) {
	text := head
	if whole && bytes.LastIndexByte(head, '\n') != len(head)-1 {
		text = append(bytes.Clone(head), '\n') // the last line is a line, too
	}
	kind, ok := calllog.Recognise(text, k.logs)
	switch {
	case !ok:
		start := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
		// A CSV shows in its first rows what it is.
		return format{}, len(start) > 0 && !bytes.ContainsRune([]byte("[{"), rune(start[0])) && bytes.Count(head, []byte("\n")) > 100
	case kind.Name == own:
		return format{known: true}, true
	}
	return format{log: &kind, head: bytes.Clone(head[:min(len(head), 64<<10)])}, true
}
