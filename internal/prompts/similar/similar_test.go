package similar

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/costprof/costprof/internal/analytics"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/pricing"
	"github.com/costprof/costprof/internal/prompts"
	"github.com/costprof/costprof/internal/prompts/lexical"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/store/reference"
	"github.com/costprof/costprof/internal/usage"
)

// ledger is the reference, with texts and vectors.
type ledger struct {
	reference.Ledger
	texts   map[usage.ID]store.Prompt
	mu      sync.Mutex // over the rest, where a service runs
	vectors []store.PromptVector
	down    bool
	// asked counts questions for vectors.
	asked int
}

// change lets a running service see what fn does.
func (l *ledger) change(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

var epoch = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// call stores one; a text with kept false has an id and no text.
func (l *ledger) call(t *testing.T, n int, project, feature, text string, kept bool) usage.Record {
	t.Helper()
	r := usage.Record{Event: usage.Event{
		Project: project, Feature: feature, TraceID: "t", SpanID: fmt.Sprint(n), Provider: "openai", Model: "gpt-4o", ProviderID: "openai", ModelID: "gpt-4o",
		Timestamp: epoch.Add(time.Duration(n) * time.Minute), Latency: time.Second, TimeToFirstToken: -1,
	}}
	r.Counts[usage.Input] = 2000
	r.Classes[usage.ClassInput] = 100
	r.ReceivedAt = r.Timestamp
	r.ID = r.Identity()
	if text != "" {
		r.PromptID = promptID(project, text)
	}
	if kept {
		l.texts[r.PromptID] = store.Prompt{ID: r.PromptID, Project: project, Text: text}
	}
	if _, err := l.Append(t.Context(), []usage.Record{r}); err != nil {
		t.Fatal(err)
	}
	return r
}

func promptID(project, text string) usage.ID {
	sum := sha256.Sum256([]byte(project + "\x00" + text))
	return usage.ID(sum[:16])
}

// embed gives the texts that have none a vector.
func (l *ledger) embed() {
	for id, p := range l.texts {
		if !slices.ContainsFunc(l.vectors, func(v store.PromptVector) bool { return v.ID == id }) {
			l.vectors = append(l.vectors, store.PromptVector{Project: p.Project, ID: id, Vector: lexical.Vector(p.Text), Seq: int64(len(l.vectors) + 1)})
		}
	}
}

func (l *ledger) GetPrompts(_ context.Context, project string, ids []usage.ID) (map[usage.ID]store.Prompt, error) {
	out := map[usage.ID]store.Prompt{}
	for _, id := range ids {
		if p, ok := l.texts[id]; ok && (project == "" || p.Project == project) {
			out[id] = p
		}
	}
	return out, nil
}

func (l *ledger) GetVectors(_ context.Context, ids []usage.ID, _ string) (map[usage.ID][]float32, error) {
	out := map[usage.ID][]float32{}
	l.asked++
	for _, v := range l.vectors {
		if slices.Contains(ids, v.ID) {
			out[v.ID] = v.Vector
		}
	}
	return out, nil
}

func (l *ledger) ListVectors(_ context.Context, _ string, after int64, limit int) ([]store.PromptVector, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, errors.New("down")
	}
	rest := l.vectors[min(int(after), len(l.vectors)):]
	return rest[:min(limit, len(rest))], nil
}

func (l *ledger) PromptUses(ctx context.Context, ids []usage.ID, f analytics.Filter) ([]store.PromptUse, error) {
	uses := map[usage.ID]store.PromptUse{}
	for r, err := range l.Events(ctx, store.EventQuery{Filter: f}) { // newest first
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, r.PromptID) {
			continue
		}
		u, ok := uses[r.PromptID]
		if !ok {
			u = store.PromptUse{ID: r.PromptID, Event: r.ID, Feature: r.Feature, Model: r.ModelID, Last: r.Timestamp}
		}
		u.Calls++
		u.Cost = u.Cost.Add(r.Total())
		uses[r.PromptID] = u
	}
	var out []store.PromptUse
	for _, u := range uses {
		out = append(out, u)
	}
	return out, nil
}

// charged is an embedder that must not be asked in the way of a question.
type charged struct{ lexical.Embedder }

func (charged) Charged() bool { return true }
func (charged) Embed(context.Context, []string) (prompts.Embeddings, error) {
	panic("asked in the way of a question")
}

func open(t *testing.T, l *ledger, e prompts.Embedder) *Service {
	t.Helper()
	s := New(Params{Ledger: l, Embedder: e, Log: slog.New(slog.DiscardHandler)})
	var after int64
	if err := s.by.(*memory).read(t.Context(), &after); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSimilar(t *testing.T) {
	l := &ledger{texts: map[usage.ID]store.Prompt{}}
	asked := l.call(t, 0, "p", "mail", "Write a mail to Anna about the offer", true)
	bob := l.call(t, 1, "p", "mail", "Write a mail to Bob about the offer", true)
	l.call(t, 2, "p", "mail", "Write a mail to Bob about the offer", true)
	eve := l.call(t, 3, "p", "chat", "Write a mail to Eve about the offer", true)
	l.call(t, 4, "p", "mail", "How long does it take to boil an egg?", true)
	other := l.call(t, 5, "q", "mail", "Write a mail to Bob about the offer", true)
	dropped := l.call(t, 6, "p", "mail", "Not kept", false)
	without := l.call(t, 7, "p", "mail", "", false)
	l.embed()
	s := open(t, l, lexical.Embedder{})

	want := func(r Request, ids ...usage.ID) []Found {
		t.Helper()
		r.Least, r.Limit = 0.7, 10
		found, err := s.Similar(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var got []usage.ID
		for _, f := range found {
			got = append(got, f.ID)
		}
		if !slices.Equal(got, ids) {
			t.Fatalf("%+v, want %v", found, ids)
		}
		return found
	}
	for _, id := range []usage.ID{asked.ID, asked.PromptID} {
		found := want(Request{ID: id, SameFeature: true}, bob.PromptID)
		if f := found[0]; f.Calls != 2 || f.Cost != money.TotalOf(200) || f.Text != "Write a mail to Bob about the offer" || f.Feature != "mail" || f.Event == bob.ID {
			t.Errorf("%+v", f)
		}
		both := []usage.ID{bob.PromptID, eve.PromptID}
		any, err := s.Similar(t.Context(), Request{ID: id, Least: 0.7, Limit: 10, Project: "p"})
		if err != nil || len(any) != 2 || !slices.Contains(both, any[0].ID) || any[0].ID == any[1].ID {
			t.Errorf("%+v, %v", any, err)
		}
	}
	want(Request{ID: other.ID})
	// The vector of a prompt that is searched for by its id is not read again.
	before := l.asked
	want(Request{ID: asked.PromptID, SameFeature: true}, bob.PromptID)
	if l.asked != before {
		t.Error("a vector was read that is at hand")
	}

	for name, c := range map[string]struct {
		r    Request
		want fault.Code
	}{
		"nothing":                   {Request{ID: usage.ID{1}}, fault.NotFound},
		"an event elsewhere":        {Request{ID: asked.ID, Project: "q"}, fault.NotFound},
		"a prompt elsewhere":        {Request{ID: asked.PromptID, Project: "q"}, fault.NotFound},
		"not kept, elsewhere":       {Request{ID: dropped.PromptID, Project: "q"}, fault.NotFound},
		"an event, not kept":        {Request{ID: dropped.ID}, fault.Conflict},
		"a prompt, not kept":        {Request{ID: dropped.PromptID, Project: "p"}, fault.Conflict},
		"an event without a prompt": {Request{ID: without.ID}, fault.Conflict},
	} {
		c.r.Limit = 5
		if _, err := s.Similar(t.Context(), c.r); fault.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}

	// What was removed since is not found any more.
	delete(l.texts, bob.PromptID)
	want(Request{ID: asked.ID, SameFeature: true})
	if s.by.(*memory).index.Has("p", bob.PromptID) {
		t.Error("it is looked at again and again")
	}
	delete(l.texts, eve.PromptID)
	if _, err := s.Similar(t.Context(), Request{ID: eve.PromptID, Limit: 5}); fault.CodeOf(err) != fault.Conflict || s.by.(*memory).index.Has("p", eve.PromptID) {
		t.Errorf("a prompt whose text was removed: %v", err)
	}
	l.texts[eve.PromptID] = store.Prompt{ID: eve.PromptID, Project: "p", Text: "Write a mail to Eve about the offer"}
	s = open(t, l, lexical.Embedder{})
	// A prompt that waits is embedded at once where that costs nothing.
	late := l.call(t, 8, "p", "chat", "Write a mail to Zoe about the offer", true)
	want(Request{ID: late.ID, SameFeature: true}, eve.PromptID)
	paid := open(t, l, charged{})
	if _, err := paid.Similar(t.Context(), Request{ID: late.ID, Limit: 5}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("a prompt that waits: %v", err)
	}
	if _, err := New(Params{Ledger: l, Embedder: lexical.Embedder{}}).Similar(t.Context(), Request{ID: asked.ID, Limit: 5}); fault.CodeOf(err) != fault.Unavailable {
		t.Errorf("before the vectors are read: %v", err)
	}
}

// Among many of another feature the few of the same are found.
func TestSimilarLooksFurther(t *testing.T) {
	l := &ledger{texts: map[usage.ID]store.Prompt{}}
	asked := l.call(t, 0, "p", "mail", "a mail about the offer of last week", true)
	for i := range 400 {
		l.call(t, 1+i, "p", "chat", fmt.Sprintf("%09d a mail about the offer of last week", i), true)
	}
	far := l.call(t, 900, "p", "mail", "Z a mail about the offer of last month", true)
	l.embed()
	s := open(t, l, lexical.Embedder{})
	found, err := s.Similar(t.Context(), Request{ID: asked.ID, Least: 0.5, Limit: 3, SameFeature: true})
	if err != nil || len(found) != 1 || found[0].ID != far.PromptID {
		t.Errorf("%d found, %v", len(found), err)
	}
}

func TestClusters(t *testing.T) {
	book, err := pricing.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{texts: map[usage.ID]store.Prompt{}}
	for i, who := range []string{"Anna", "Bob", "Eve", "Anna"} {
		l.call(t, i, "p", "mail", who+" gets a mail about the offer of last week", true)
	}
	l.call(t, 10, "p", "mail", "How long does it take to boil an egg?", true)
	l.call(t, 20, "p", "chat", "Not kept", false)
	l.call(t, 21, "p", "chat", "Not kept", false)
	l.call(t, 22, "p", "chat", "", false)
	l.embed()
	s := open(t, l, lexical.Embedder{})
	ask := func(least float32) Clusters {
		t.Helper()
		c, err := s.Clusters(t.Context(), ClustersRequest{Least: least, TTL: time.Hour, Limit: 10, Prices: book})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := ask(0.7)
	if c.Calls != 8 || c.Cut || c.Unembedded != 1 || len(c.Groups) != 2 {
		t.Fatalf("%+v", c)
	}
	mail, chat := c.Groups[0], c.Groups[1]
	if mail.Feature != "mail" || mail.Prompts != 3 || mail.Calls != 4 || mail.Cost != money.TotalOf(400) || mail.Exact.Hits != 1 || mail.Near.Hits != 3 || mail.Near.Saved != money.TotalOf(300) ||
		mail.Template.Constant < 30 || len(mail.Members) != 3 || mail.Least < 0.7 || mail.Members[0].Similarity != 1 || mail.Members[0].Calls != 2 {
		t.Errorf("%+v", mail)
	}
	if chat.Prompts != 1 || chat.Calls != 2 || chat.Exact.Hits != 1 || chat.Template.Texts != 0 || chat.Members[0].Text != "" || chat.Prefix.Reads != 0 {
		t.Errorf("%+v", chat)
	}
	// Nearly the same is not the same.
	if strict := ask(1); len(strict.Groups) != 2 || strict.Groups[0].Prompts != 1 || strict.Groups[0].Calls != 2 {
		t.Errorf("%+v", strict)
	}
}

// The vectors are read again after a failure, and those that come later are found.
func TestRunFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &ledger{texts: map[usage.ID]store.Prompt{}, down: true}
		for i := range 2*page + 3 {
			l.vectors = append(l.vectors, store.PromptVector{Project: "p", ID: usage.ID{byte(i), byte(i >> 8)}, Vector: []float32{1, float32(i)}, Seq: int64(i + 1)})
		}
		s := New(Params{Ledger: l, Embedder: lexical.Embedder{}, Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if n, loaded := s.Indexed(); n != 0 || loaded {
			t.Error(n, loaded)
		}
		l.change(func() { l.down = false })
		time.Sleep(followEvery)
		synctest.Wait()
		if n, loaded := s.Indexed(); n != 2*page+3 || !loaded {
			t.Error(n, loaded)
		}
		l.change(func() {
			l.vectors = append(l.vectors, store.PromptVector{Project: "p", ID: usage.ID{9, 9, 9}, Vector: []float32{1, 2, 3}, Seq: 2*page + 4},
				store.PromptVector{Project: "p", ID: usage.ID{9, 9, 8}, Vector: []float32{3, 1}, Seq: 2*page + 5})
		})
		time.Sleep(followEvery)
		synctest.Wait()
		if n, _ := s.Indexed(); n != 2*page+4 {
			t.Errorf("%d after one that fits and one that does not", n)
		}
		// What the ledger has no more is gone from memory.
		l.change(func() { l.vectors = l.vectors[:page+1] })
		s.Forget()
		if n, loaded := s.Indexed(); n != 0 || loaded {
			t.Error(n, loaded)
		}
		synctest.Wait()
		if n, loaded := s.Indexed(); n != page+1 || !loaded {
			t.Error(n, loaded)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}
