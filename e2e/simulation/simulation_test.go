package simulation

import (
	"flag"
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	seed      = flag.Uint64("seed", 0, "play the schedule of this seed only")
	schedules = flag.Uint64("schedules", 100_000, "how many schedules to play")
)

func TestSchedules(t *testing.T) {
	pool, err := NewPool()
	if err != nil {
		t.Fatal(err)
	}
	if *seed != 0 {
		if err := pool.Run(*seed, Sound, &Tally{}); err != nil {
			t.Fatalf("seed %d: %v", *seed, err)
		}
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	most := *schedules
	if testing.Short() {
		most = min(most, 20_000)
	}
	var next atomic.Uint64
	var mu sync.Mutex
	var sum Tally
	const words = 1 << 20
	seen := make([]uint64, words)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			tally := Tally{Seen: make([]uint64, words)}
			for s := next.Add(1); s <= most && !t.Failed(); s = next.Add(1) {
				if err := pool.Run(s, Sound, &tally); err != nil {
					t.Errorf("%v\nreplay: go test ./e2e/simulation -run Schedules -seed %d", err, s)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum.add(&tally)
			for i, w := range tally.Seen {
				seen[i] |= w
			}
		})
	}
	wg.Wait()
	set := 0
	for _, w := range seen {
		set += bits.OnesCount64(w)
	}
	// Linear counting: how many were marked when so many bits are set.
	const all = float64(words * 64)
	states := -all * math.Log(1-float64(set)/all)
	t.Logf("%d schedules, %d steps, about %.0f distinct states", most, sum.Steps, states)
	t.Logf("%d commits, %d failed, of these %d stored all the same; %d crashes, %d answers lost; %d duplicates and %d conflicts recognised; %d look-ups, %d loads, %d corrections of marks",
		sum.Commits, sum.Failed, sum.Unknown, sum.Crashes, sum.LostAnswers, sum.Duplicates, sum.Conflicts, sum.LookUps, sum.Loads, sum.Marks)
}

func (t *Tally) add(o *Tally) {
	t.Steps += o.Steps
	t.Commits += o.Commits
	t.Failed += o.Failed
	t.Unknown += o.Unknown
	t.Crashes += o.Crashes
	t.LostAnswers += o.LostAnswers
	t.Duplicates += o.Duplicates
	t.Conflicts += o.Conflicts
	t.LookUps += o.LookUps
	t.Marks += o.Marks
	t.Loads += o.Loads
}

// A simulation that finds nothing proves nothing unless it finds what is wrong.
func TestBugsAreFound(t *testing.T) {
	pool, err := NewPool()
	if err != nil {
		t.Fatal(err)
	}
	for _, bug := range []Bug{RemembersTooMuch, AcknowledgesEarly, TrustsHashes, ReusesNumbers, ForgetsMarks} {
		t.Run(fmt.Sprint(bug), func(t *testing.T) {
			for s := uint64(1); s <= 20_000; s++ {
				if err := pool.Run(s, bug, &Tally{}); err != nil {
					t.Logf("found by seed %d: %v", s, err)
					if again := pool.Run(s, bug, &Tally{}); again == nil || again.Error() != err.Error() {
						t.Fatalf("the seed does not replay: %v", again)
					}
					return
				}
			}
			t.Fatal("not found in 20,000 schedules")
		})
	}
}
