//go:build linux

package faults

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/costprof/costprof/e2e/faults/faultfs"
)

// disk is a file system that fails when told to, and the data directory on it.
type disk struct {
	*faultfs.FS
	data string
}

func mount(t *testing.T) *disk {
	t.Helper()
	dir := t.TempDir()
	f, err := faultfs.Mount(dir, filepath.Join(dir, "mnt"))
	need(t, "fuse", err)
	t.Cleanup(func() { _ = f.Unmount() })
	return &disk{f, filepath.Join(dir, "mnt", "data")}
}

// outcome is what one run saw.
type outcome struct {
	hits                              int
	where                             string
	refused, ended, aborted, degraded bool
}

// live starts the program and waits until it works, refuses to store, or ended
// with a sentence.
func live(t *testing.T, d *disk, o *outcome) *server {
	t.Helper()
	s := start(t, d.data)
	status, _ := s.health(t, 15*time.Second, http.StatusOK, http.StatusServiceUnavailable)
	if status == 0 {
		if !s.ended() {
			t.Fatalf("neither there nor gone\n%s", s.log)
		}
		if err := s.sentence(); err != nil {
			t.Fatalf("%v\n%s", err, s.log)
		}
		o.ended = true
		o.aborted = o.aborted || engineAborts(s.log.String())
		return nil
	}
	o.refused = o.refused || status == http.StatusServiceUnavailable
	return s
}

// life is a representative run of the program: a start, batches, a price that
// corrects what had none, a clean stop, a second start that sums up hours, a
// kill, and a third start that recovers.
func life(t *testing.T, d *disk, b *book) (o outcome) {
	t.Helper()
	n := 0
	ingest := func(s *server, batches int) {
		for end := n + batches; n < end; n++ {
			if !b.deliver(t, s, n, 2) {
				o.refused = true
			}
		}
	}
	if s := live(t, d, &o); s != nil {
		ingest(s, 4)
		_, _ = s.send(http.MethodPut, "/api/v1/prices", `{"provider":"openai","model":"faulty-1","effectiveFrom":"2024-01-01","prices":{"input":1.5,"output":3}}`)
		ingest(s, 2)
		s.stop(t)
	}
	if s := live(t, d, &o); s != nil {
		ingest(s, 2)
		time.Sleep(1100 * time.Millisecond) // hours are summed up once a second
		ingest(s, 2)
		s.kill()
	}
	if s := live(t, d, &o); s != nil {
		ingest(s, 2)
		if h, _ := d.Hit(); h > 0 {
			// The fault is mended under the running server.
			o.hits, o.where = d.Hit()
			d.Set(faultfs.Fault{})
			if s.health(t, 30*time.Second, http.StatusOK); engineAborts(s.dead()) {
				o.aborted = true
				return o
			}
			s.healthy(t)
		}
		b.check(t, s)
		s.kill()
	}
	if o.hits == 0 {
		o.hits, o.where = d.Hit()
	}
	return o
}

// afterwards starts the program on a sound disk: nothing that was acknowledged
// is missing, nothing is there twice, and it takes what is missing.
func afterwards(t *testing.T, dir string, b *book, o *outcome) {
	t.Helper()
	s := start(t, dir)
	s.healthy(t)
	b.check(t, s)
	b.whole(t, s)
	if _, what := s.health(t, time.Second, http.StatusOK); strings.Contains(what, "degraded") {
		o.degraded = true
	}
	s.stop(t)
}

// point is one place of the matrix.
type point struct {
	fault faultfs.Fault
	power bool // the power fails at the end
}

func (p point) String() string {
	s := fmt.Sprintf("%s of %s %d", p.fault.Errno, or(p.fault.Kind, "operation"), p.fault.At)
	if p.fault.Torn {
		s = "torn " + s
	}
	if p.fault.Forever {
		s += " and ever after"
	}
	if p.power {
		s += ", then the power"
	}
	return s
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// points is the whole matrix for a run with so many operations of each kind.
func points(counts map[string]int64) (all []point) {
	for k := range counts[""] {
		for _, e := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			all = append(all,
				point{fault: faultfs.Fault{At: k + 1, Errno: e}},
				point{fault: faultfs.Fault{At: k + 1, Errno: e, Forever: true}})
		}
	}
	for k := range counts["write"] {
		all = append(all, point{fault: faultfs.Fault{At: k + 1, Errno: syscall.ENOSPC, Kind: "write", Torn: true}})
	}
	for k := range counts["sync"] {
		all = append(all,
			point{fault: faultfs.Fault{At: k + 1, Errno: syscall.EIO, Kind: "sync"}, power: true},
			point{fault: faultfs.Fault{At: k + 1, Errno: syscall.EIO, Kind: "sync", Forever: true}, power: true})
	}
	return all
}

// TestMatrix lets every operation on the data directory fail in turn: a sample
// of it, or all of it with COSTPROF_FAULTS=all. COSTPROF_FAULTS_SEED chooses
// another sample, COSTPROF_FAULTS_ONLY a point by its name.
func TestMatrix(t *testing.T) {
	d := mount(t)
	b := newBook(20)
	d.Set(faultfs.Fault{})
	if o := life(t, d, b); o.refused || o.ended {
		t.Fatalf("without a fault: %+v", o)
	}
	counts := d.Counts()
	afterwards(t, d.data, b, &outcome{})
	all := points(counts)

	seed, sample := uint64(1), 32
	if text := os.Getenv("COSTPROF_FAULTS_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	whole := os.Getenv("COSTPROF_FAULTS") == "all"
	chosen := all
	if only := os.Getenv("COSTPROF_FAULTS_ONLY"); only != "" {
		chosen, whole = slices.DeleteFunc(all, func(p point) bool { return p.String() != only }), true
	}
	if !whole {
		r := rand.New(rand.NewPCG(seed, 0))
		r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:min(sample, len(chosen))]
	}
	var mu sync.Mutex
	tally := map[string]int{}
	t.Run("points", func(t *testing.T) {
		for _, p := range chosen {
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				d := mount(t)
				b := newBook(20)
				d.Set(p.fault)
				o := life(t, d, b)
				dir := d.data
				d.Set(faultfs.Fault{})
				if p.power {
					dir = filepath.Join(t.TempDir(), "after")
					if err := d.PowerCut(rand.New(rand.NewPCG(seed, uint64(p.fault.At))), dir); err != nil {
						t.Fatal(err)
					}
					dir = filepath.Join(dir, "data")
				}
				afterwards(t, dir, b, &o)
				mu.Lock()
				defer mu.Unlock()
				for name, is := range map[string]bool{
					"fault struck": o.hits > 0, "some batch was refused with 503": o.refused,
					"a start ended with a sentence": o.ended, "a loss was reported": o.degraded, "the engine ended the process": o.aborted,
				} {
					if is {
						tally[name]++
					}
				}
				if o.degraded {
					t.Errorf("nothing was lost, yet a loss is reported")
				}
			})
		}
	})
	t.Logf("a run has %d operations: %s", counts[""], list(counts))
	t.Logf("%d points of %d (seed %d): %s", len(chosen), len(all), seed, list(tally))
}

func list[N int | int64](m map[string]N) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k != "" {
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
	}
	return strings.Join(parts, ", ")
}
