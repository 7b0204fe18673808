package ingest

import (
	"log/slog"
	"sync"

	"github.com/costprof/costprof/internal/usage"
)

// maxWarned bounds how many models the log names: a sender that makes up names
// must fill neither the memory nor the disk.
const maxWarned = 1000

// warned remembers which models without a price the log has named since the
// start.
type warned struct {
	mu     sync.RWMutex
	models map[[2]string]struct{}
}

// warn logs each model without a price once and says whether any of the records
// has none.
func (w *warned) warn(log *slog.Logger, records []usage.Record) bool {
	unpriced := false
	for i := range records {
		r := &records[i]
		if r.Source == usage.SourceCatalog || r.Source == usage.SourceBilled || r.Model == "" {
			continue
		}
		unpriced = true
		switch n := w.add([2]string{r.Provider, r.Model}); {
		case n == 0:
		case n < maxWarned:
			log.Warn("A model has no price; its calls count as 0 or as the caller's estimate",
				"provider", usage.Shorten(r.Provider), "model", usage.Shorten(r.Model))
		default:
			log.Warn("More models have no price than are named here; see the list of unpriced models", "named", maxWarned-1)
		}
	}
	return unpriced
}

// add returns the set's new size, or 0 when the model was in it or the set is
// full.
func (w *warned) add(model [2]string) int {
	w.mu.RLock()
	_, ok := w.models[model]
	full := len(w.models) >= maxWarned
	w.mu.RUnlock()
	if ok || full {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.models[model]; ok || len(w.models) >= maxWarned {
		return 0
	}
	if w.models == nil {
		w.models = make(map[[2]string]struct{})
	}
	w.models[model] = struct{}{}
	return len(w.models)
}
