package sqlquery

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"

	"github.com/costprof/costprof/internal/usage"
)

// Cell is a combination of attribution texts, in the order of CellColumns. Each
// that occurs is stored once, and events name it by number.
type Cell [11]string

// CellColumns are the columns of a cell's texts; a missing text is ”.
func CellColumns() []string {
	return []string{
		"project", "feature", "provider", "model", "sent_provider", "sent_model",
		"operation", "department", "environment", "service_tier", "region",
	}
}

// CellOf takes a cell from an event.
func CellOf(e *usage.Event) Cell {
	return Cell{
		e.Project, e.Feature, e.ProviderID, e.ModelID, e.Provider, e.Model,
		e.Operation, e.Department, e.Environment, e.ServiceTier, e.Region,
	}
}

// Only is the cell that has the texts of the named columns alone.
func (c Cell) Only(columns []string) (out Cell) {
	for i, column := range CellColumns() {
		if slices.Contains(columns, column) {
			out[i] = c[i]
		}
	}
	return out
}

// Fill sets the event's attribution.
func (c *Cell) Fill(e *usage.Event) {
	e.Project, e.Feature, e.ProviderID, e.ModelID, e.Provider, e.Model = c[0], c[1], c[2], c[3], c[4], c[5]
	e.Operation, e.Department, e.Environment, e.ServiceTier, e.Region = c[6], c[7], c[8], c[9], c[10]
}

// Hash is the identity of a combination: the hash of its length-prefixed texts.
func (c *Cell) Hash() usage.ID {
	var b []byte
	for _, s := range c {
		b = appendText(b, s)
	}
	return hashed(b)
}

// HashTags is the identity of a set of tags: the hash of its sorted,
// length-prefixed names and values.
func HashTags(tags map[string]string) usage.ID {
	var b []byte
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		b = appendText(appendText(b, name), tags[name])
	}
	return hashed(b)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func hashed(b []byte) usage.ID {
	h := sha256.Sum256(b)
	return usage.ID(h[:16])
}
