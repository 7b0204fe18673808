package storetest

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

func key(id string, created time.Duration) store.Key {
	k := store.Key{
		ID: id, Name: "näme of " + id, Hint: "cpk_ab", Role: "viewer", Project: "p1",
		CreatedBy: "someone", Created: epoch.Add(created),
	}
	k.Hash[0], k.Hash[31] = byte(len(id)), 7
	return k
}

func wantKeys(t *testing.T, e store.Catalog, want ...store.Key) {
	t.Helper()
	got, err := e.ListKeys(ctx(t))
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(want, got); d != "" {
		t.Fatalf("keys (-want +got):\n%s", d)
	}
}

func testKeys(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	wantKeys(t, e)
	put := func(k store.Key) {
		t.Helper()
		if err := e.PutKey(ctx(t), k, entry("put "+k.ID)); err != nil {
			t.Fatal(err)
		}
	}
	a, b := key("a", time.Hour), key("bb", 0)
	put(a)
	put(b)
	wantKeys(t, e, b, a)

	used := epoch.Add(2 * time.Hour)
	if err := e.TouchKeys(ctx(t), map[string]time.Time{"a": used, "nobody": used}); err != nil {
		t.Fatal(err)
	}
	a.LastUsed = used
	wantKeys(t, e, b, a)
	if err := e.TouchKeys(ctx(t), map[string]time.Time{"a": used.Add(-time.Minute), "bb": used}); err != nil {
		t.Fatal(err)
	}
	b.LastUsed = used
	wantKeys(t, e, b, a)

	// What was read before the key was used does not take the use back.
	a.Expires, a.Revoked = epoch.Add(3*time.Hour), epoch.Add(4*time.Hour)
	a.Previous, a.PreviousUntil = a.Hash, epoch.Add(5*time.Hour)
	a.Hash[3] = 9
	stale := a
	stale.LastUsed = time.Time{}
	put(stale)
	wantKeys(t, e, b, a)
	if log, err := e.ListAudit(ctx(t), 0, 10); err != nil || len(log) != 3 || log[0].Action != "put a" {
		t.Fatalf("audit %+v, %v", log, err)
	}
	mustClose(t, e)
	wantKeys(t, reopen(t, open, dir), b, a)
}

func testSessions(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	ended := func(first byte, until time.Duration) store.EndedSession {
		return store.EndedSession{Hash: [32]byte{0: first, 31: 1}, Until: epoch.Add(until)}
	}
	end := func(s store.EndedSession, at time.Duration) {
		t.Helper()
		entry := entry("session.end")
		entry.At = epoch.Add(at)
		if err := e.EndSession(ctx(t), s, entry); err != nil {
			t.Fatal(err)
		}
	}
	want := func(want ...store.EndedSession) {
		t.Helper()
		got, err := e.ListEndedSessions(ctx(t))
		if err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(got, func(a, b store.EndedSession) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
		if d := diff(want, got); d != "" {
			t.Fatalf("ended sessions (-want +got):\n%s", d)
		}
	}
	want()
	a, b, c := ended(1, time.Hour), ended(2, 3*time.Hour), ended(3, 4*time.Hour)
	end(a, 0)
	end(b, time.Hour) // a ends by itself only now
	end(b, time.Hour)
	want(a, b)
	mustClose(t, e)
	e = reopen(t, open, dir)
	want(a, b)
	end(c, time.Hour+time.Second)
	want(b, c)
	if log, err := e.ListAudit(ctx(t), 0, 10); err != nil || len(log) != 4 || log[0].Action != "session.end" {
		t.Fatalf("audit %+v, %v", log, err)
	}
}

func testSettings(t *testing.T, open Opener) {
	dir := t.TempDir()
	e := open(t, dir)
	if _, err := e.GetSetting(ctx(t), "x"); fault.CodeOf(err) != fault.NotFound {
		t.Fatalf("unknown setting: %v", err)
	}
	const callers = 8
	var group sync.WaitGroup
	got := make([][]byte, callers)
	for i := range callers {
		group.Go(func() {
			var err error
			if got[i], err = e.InitSetting(ctx(t), "x", []byte(fmt.Sprint("value\x00", i))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if _, err := e.InitSetting(ctx(t), "y", []byte{}); err != nil {
		t.Fatal(err)
	}
	mustClose(t, e)
	e = reopen(t, open, dir)
	kept, err := e.GetSetting(ctx(t), "x")
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range got {
		if !bytes.Equal(v, kept) || len(v) == 0 {
			t.Errorf("caller %d got %q, kept is %q", i, v, kept)
		}
	}
	if v, err := e.GetSetting(ctx(t), "y"); err != nil || len(v) != 0 {
		t.Errorf("an empty setting: %q, %v", v, err)
	}
	for _, tc := range []struct {
		name     string
		was, now []byte
		want     fault.Code
	}{
		{"x", kept, []byte("\x00new\xff"), ""}, {"x", kept, []byte("newer"), fault.Conflict}, {"x", nil, []byte("newer"), fault.Conflict},
		{"y", []byte{}, []byte("full"), ""}, {"z", nil, []byte("none"), fault.NotFound},
	} {
		err := e.ReplaceSetting(ctx(t), tc.name, tc.was, tc.now, entry("replace"))
		if tc.want == "" && err != nil || tc.want != "" && fault.CodeOf(err) != tc.want {
			t.Errorf("replacing %q of %s: %v, want %q", tc.was, tc.name, err, tc.want)
		}
	}
	if v, err := e.GetSetting(ctx(t), "x"); err != nil || string(v) != "\x00new\xff" {
		t.Errorf("replaced: %q, %v", v, err)
	}
	if log, err := e.ListAudit(ctx(t), 0, 10); err != nil || len(log) != 2 {
		t.Errorf("audit %+v, %v", log, err)
	}
}
