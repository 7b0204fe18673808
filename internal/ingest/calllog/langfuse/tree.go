package langfuse

import (
	"hash/maphash"
	"strings"

	"github.com/costprof/costprof/internal/ingest/calllog"
)

// tree is what is known of all observations: some 100 bytes of memory for each.
type tree struct {
	seed  maphash.Seed
	nodes map[uint64]node
	// below are the tokens of the nearest observations with usage below one.
	below map[uint64]int64
	ready bool
}

type node struct {
	parent uint64 // 0 is none
	tokens int64
}

func newTree() *tree {
	return &tree{seed: maphash.MakeSeed(), nodes: map[uint64]node{}}
}

func (t *tree) key(trace, id string) uint64 {
	if id == "" {
		return 0
	}
	return maphash.String(t.seed, trace+"\x00"+id)
}

// add notes an observation. The last record of one counts.
func (t *tree) add(o calllog.Object) {
	trace := o.Text("traceId", "trace_id")
	b := counts(o)
	n := node{parent: t.key(trace, o.Text("parentObservationId", "parent_observation_id")), tokens: b.tokens()}
	if n.tokens == 0 {
		if c := cost(o); c != nil && *c > 0 {
			n.tokens = -1 // has a cost and no tokens
		}
	}
	t.nodes[t.key(trace, o.Text("id"))] = n
	t.ready = false
}

// climb is how far up an ancestor is looked for; a circle ends, too.
const climb = 200

// sum gives every observation with usage to the nearest one above it that has
// usage of its own.
func (t *tree) sum() {
	t.below = map[uint64]int64{}
	for key, n := range t.nodes {
		if n.tokens == 0 {
			continue
		}
		above := n.parent
		for range climb {
			p, ok := t.nodes[above]
			if above == 0 || above == key || !ok {
				break
			}
			if p.tokens != 0 {
				t.below[above] += max(n.tokens, 1)
				break
			}
			above = p.parent
		}
	}
	t.ready = true
}

// sums says whether an observation's usage is that of the ones below it: always
// for one that makes no call itself; for a generation when it tells no more
// than they do, since one may well have called another.
func (t *tree) sums(o calllog.Object) bool {
	if !t.ready {
		t.sum()
	}
	key := t.key(o.Text("traceId", "trace_id"), o.Text("id"))
	below := t.below[key]
	if below == 0 {
		return false
	}
	switch strings.ToUpper(o.Text("type")) {
	case "GENERATION", "EMBEDDING":
		return t.nodes[key].tokens <= below
	}
	return true
}
