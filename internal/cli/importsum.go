package cli

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/costprof/costprof/client"
	"github.com/costprof/costprof/internal/ingest/calllog"
)

// shownFiles is how many files' sums are shown; the rest is one line.
const shownFiles = 20

// fileSum is what a log came to.
type fileSum struct {
	path string
	worth
	tally calllog.Tally
}

// sums lists the logs, dearest first, and what they come to together.
func (l *load) sums(done *tally) (files []fileSum, all fileSum) {
	for i, t := range l.tallies {
		f := fileSum{path: l.inputs[i].path, tally: t}
		if s := done.sums[i]; s != nil {
			f.worth = *s
		}
		files = append(files, f)
		all.worth.add(&f.worth)
		all.tally.Add(t)
	}
	slices.SortFunc(files, func(a, b fileSum) int {
		return cmp.Or(b.cost.Cmp(a.cost), cmp.Compare(b.calls, a.calls), cmp.Compare(a.path, b.path))
	})
	return files, all
}

// summarise tells people what became of the records of logs, and what their
// calls come to, so that it can be compared with a vendor's own figures.
func (l *load) summarise(done *tally) {
	s := l.s
	if l.strange > 0 {
		s.note("%d files are of no format that is known; name one alone to see why.", l.strange)
	}
	if len(l.tallies) == 0 {
		return
	}
	files, all := l.sums(done)
	t := all.tally
	fmt.Fprintf(s.out, "%d records: %d calls, %d further parts of calls, %d without usage, %d malformed, %d unknown, %d unfinished\n",
		t.Records, t.Calls, t.Parts, t.NoUsage, t.Malformed, t.Unknown, t.Unfinished)
	tab := table{columns: []column{
		{title: "file", shrink: true, least: 12},
		{title: "calls", right: true},
		{title: "copies", right: true, idle: "0", drop: 2},
		{title: "input", right: true, drop: 1},
		{title: "output", right: true, drop: 1},
		{title: "cost", right: true},
		{title: "unpriced", right: true, idle: "0"},
	}}
	line := func(f *fileSum) {
		tab.add(printable(f.path), count(int64(f.calls)), count(int64(f.copies)), count(f.input), count(f.output), money(client.USD(f.cost.String())), count(int64(f.unpriced+f.estimated)))
	}
	for i := range files[:min(len(files), shownFiles)] {
		line(&files[i])
	}
	if more := len(files) - shownFiles; more > 0 {
		rest := fileSum{path: fmt.Sprintf("(%d more)", more)}
		for i := range files[shownFiles:] {
			rest.worth.add(&files[shownFiles+i].worth)
		}
		line(&rest)
	}
	if len(files) > 1 {
		all.path = "total"
		line(&all)
	}
	tab.write(s.out, s.term)
	l.remarks(done, files, &all)
}

// remarks say what a person should know of the figures.
func (l *load) remarks(done *tally, files []fileSum, all *fileSum) {
	t := all.tally
	if done.Differing > 0 {
		l.s.note("%d calls that were already there are told with other details here, as forks and other loggers do; what was stored first stays.", done.Differing)
	}
	if t.Unfinished > 0 {
		l.s.note("%d calls are still being written; import again later, or with --unfinished.", t.Unfinished)
	}
	if t.Silent > 0 {
		l.s.note("%d streamed answers end without their usage; OpenAI's tell it with stream_options.include_usage.", t.Silent)
	}
	if t.Undated > 0 {
		l.s.note("%d calls are logged without a time and took their file's; --set timestamp=… gives another.", t.Undated)
	}
	if all.estimated > 0 {
		l.s.note("%d calls have no price here and count as their log estimates them.", all.estimated)
	}
	for _, f := range files {
		if f.tally.FirstUnknown > 0 {
			l.s.note("%s:%d: unknown to this format; --format names another.", printable(f.path), f.tally.FirstUnknown)
			break
		}
	}
}

// report adds the same to the answer for programs.
func (l *load) report(answer map[string]any, done *tally) {
	files, all := l.sums(done)
	if len(files) == 0 {
		return
	}
	entry := func(f *fileSum) map[string]any {
		t := f.tally
		return map[string]any{
			"calls": f.calls, "copies": f.copies, "inputTokens": f.input, "outputTokens": f.output, "cost": f.cost, "unpricedCalls": f.unpriced + f.estimated,
			"records": map[string]int{
				"total": t.Records, "calls": t.Calls, "parts": t.Parts, "noUsage": t.NoUsage, "malformed": t.Malformed, "unknown": t.Unknown, "unfinished": t.Unfinished,
			},
		}
	}
	list := make([]map[string]any, len(files))
	for i := range files {
		list[i] = entry(&files[i])
		list[i]["file"] = files[i].path
	}
	answer["files"], answer["total"], answer["differing"], answer["unknownFiles"] = list, entry(&all), done.Differing, l.strange
}
