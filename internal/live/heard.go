package live

// heard knows which commits were announced since the first view began. A commit
// that the ledger has and nobody announced within a check's time was lost on the
// way, or is another server's.
type heard struct {
	started bool
	// upTo is the commit up to which everything was announced or is in a view;
	// above are those announced beyond it.
	upTo  int64
	above map[int64]bool
	// suspect is the ledger's last commit at the last check when not all up to it
	// were announced, else 0.
	suspect int64
}

// maxAbove bounds what is remembered while no view has its sums.
const maxAbove = 1 << 16

// note takes the commit of a message.
func (h *heard) note(commit int64) {
	if h.started && commit <= h.upTo {
		return
	}
	if h.above == nil || len(h.above) >= maxAbove {
		h.above = map[int64]bool{} // forgotten ones will count as lost, which is safe
	}
	h.above[commit] = true
	h.settle()
}

// start says that the oldest view holds everything up to commit.
func (h *heard) start(commit int64) {
	if h.started {
		return
	}
	h.started, h.upTo = true, commit
	for c := range h.above {
		if c <= commit {
			delete(h.above, c)
		}
	}
	h.settle()
}

func (h *heard) settle() {
	for h.started && h.above[h.upTo+1] {
		h.upTo++
		delete(h.above, h.upTo)
	}
}

// lost takes the ledger's last commit and gives the one before which something
// was lost, 0 for nothing. What is missing is given one check's time to arrive.
func (h *heard) lost(asOf int64) int64 {
	if !h.started {
		return 0
	}
	lost := int64(0)
	if h.suspect > h.upTo {
		lost = h.suspect
		h.upTo = lost
		for c := range h.above {
			if c <= lost {
				delete(h.above, c)
			}
		}
		h.settle()
	}
	h.suspect = 0
	if asOf > h.upTo {
		h.suspect = asOf
	}
	return lost
}
