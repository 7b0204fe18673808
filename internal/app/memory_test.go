package app

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestWasteful(t *testing.T) {
	const mb = 1 << 20
	for name, tt := range map[string]struct {
		now  heap
		want bool
	}{
		"nothing lies around":     {heap{live: 20 * mb, held: 60 * mb, allocated: 1000 * mb}, false},
		"much lies around":        {heap{live: 20 * mb, held: 200 * mb, allocated: 1000 * mb}, true},
		"much is in use":          {heap{live: 190 * mb, held: 200 * mb, allocated: 1000 * mb}, false},
		"much, and work goes on":  {heap{live: 20 * mb, held: 200 * mb, allocated: 1100 * mb}, false},
		"in use a while ago":      {heap{live: 190 * mb, held: 200 * mb, allocated: 1000 * mb, looks: staleLooks}, true},
		"little, a while ago":     {heap{live: 20 * mb, held: 40 * mb, allocated: 1000 * mb, looks: staleLooks}, false},
		"a last request was made": {heap{live: 20 * mb, held: 200 * mb, allocated: 1007 * mb}, true},
	} {
		if got := tt.now.wasteful(heap{allocated: 1000 * mb}); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// The figures mean what they are taken for: what a flood left is held, and is not
// after it was given back.
func TestHeapIsGivenBack(t *testing.T) {
	flood := make([][]byte, 200)
	for i := range flood {
		flood[i] = make([]byte, 1<<20)
		flood[i][len(flood[i])/2] = 1
	}
	runtime.GC() // as in the middle of the flood
	before := readHeap()
	if before.live < 200<<20 || before.wasteful(before) {
		t.Errorf("in use: %+v", before)
	}
	runtime.KeepAlive(flood) // nobody holds it from here on
	runtime.GC()
	left := readHeap()
	if !left.wasteful(left) {
		t.Errorf("after the flood: %+v", left)
	}
	debug.FreeOSMemory()
	if after := readHeap(); after.wasteful(after) {
		t.Errorf("given back: %+v", after)
	}
}
