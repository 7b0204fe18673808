package live

// backlog holds the latest messages, numbered in the order in which they came.
// A view reads on from where it was; one that was overtaken begins afresh.
type backlog struct {
	slots [maxMessages]Message
	// first and last are the numbers of the oldest and the newest held message;
	// none is held when first is last+1.
	first, last uint64
	cells       int
}

// The bounds of a backlog: at 60,000 events a second in batches of 100 whose
// calls are all different it lasts 1.5 s, longer than a question takes; usually
// calls are alike, and it lasts much longer.
const (
	maxMessages = 8192
	maxCells    = 100_000
)

func (b *backlog) push(m Message) {
	b.last++
	slot := &b.slots[b.last%maxMessages]
	if b.last-b.first == maxMessages {
		b.dropFirst()
	}
	*slot = m
	b.cells += len(m.Cells)
	for b.cells > maxCells && b.first < b.last {
		b.dropFirst()
	}
}

func (b *backlog) dropFirst() {
	slot := &b.slots[b.first%maxMessages]
	b.cells -= len(slot.Cells)
	*slot = Message{}
	b.first++
}

// after gives the messages with numbers above n, in order, or false when one of
// them is not held any more.
func (b *backlog) after(n uint64) ([]Message, bool) {
	if n+1 < b.first {
		return nil, false
	}
	var out []Message
	for i := n + 1; i <= b.last; i++ {
		out = append(out, b.slots[i%maxMessages])
	}
	return out, true
}

// clear forgets all messages; numbers go on.
func (b *backlog) clear() {
	for b.first <= b.last {
		b.dropFirst()
	}
}
