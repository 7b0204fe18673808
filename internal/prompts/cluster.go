package prompts

import (
	"github.com/costprof/costprof/internal/usage"
)

// Item is a prompt that is to be grouped.
type Item struct {
	ID usage.ID
	// Vector has length 1; nil is of a prompt that is not embedded, which is like
	// nothing but itself.
	Vector []float32
}

// Group is a prompt and those that are like it.
type Group struct {
	// Members are the places of the items, the leader first, then as given.
	Members []int
	// Least is the lowest similarity of a member to the leader.
	Least float32
}

// Cluster groups prompts by their likeness to a leader. The first item leads the
// first group; every further one joins the leader it is most like, the earlier of
// two, if that is at least the threshold, and else leads a group of its own. So the result depends
// on nothing but the items and their order, and two members of a group are never
// joined by a chain of others. It compares each item with each leader.
func Cluster(items []Item, threshold float32) []Group {
	var groups []Group
	for i, item := range items {
		best, likeness := -1, threshold
		for g := range groups {
			if l := dot(items[groups[g].Members[0]].Vector, item.Vector); l > likeness || l == likeness && best < 0 {
				best, likeness = g, l
			}
		}
		if best < 0 || item.Vector == nil {
			groups = append(groups, Group{Members: []int{i}, Least: 1})
			continue
		}
		groups[best].Members = append(groups[best].Members, i)
		groups[best].Least = min(groups[best].Least, likeness)
	}
	return groups
}

// dot is the cosine of vectors of length 1; of vectors that cannot be compared it
// is less than any.
func dot(a, b []float32) float32 {
	if len(a) != len(b) || a == nil {
		return -2
	}
	var s [4]float32
	n := len(a) / 4 * 4
	for i := 0; i < n; i += 4 {
		s[0] += a[i] * b[i]
		s[1] += a[i+1] * b[i+1]
		s[2] += a[i+2] * b[i+2]
		s[3] += a[i+3] * b[i+3]
	}
	for i := n; i < len(a); i++ {
		s[0] += a[i] * b[i]
	}
	return s[0] + s[1] + s[2] + s[3]
}

// Similarity is the cosine of two prompts' vectors, 1 of a prompt with itself and
// 0 where there is none.
func Similarity(a, b Item) float32 {
	if a.ID == b.ID {
		return 1
	}
	return max(0, min(1, dot(a.Vector, b.Vector)))
}
