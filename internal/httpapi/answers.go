package httpapi

import (
	"context"
	"net/http"
	"time"
)

// answers bounds what questions hold while they are worked out and while their
// answers are taken: lists of events, which can be tens of megabytes, apart from
// everything else, so that whoever reads a list slowly holds up no chart.
type answers struct {
	lists, charts *budget
}

// What a question is taken to need until its answer is there.
const (
	listMemory  = 128 << 20
	eventMemory = 32 << 10 // an event with the largest metadata and tags
	chartMemory = 64 << 20
	chartShare  = 4 << 20
)

const busyAnswering = "The server is busy with other questions; try again"

func newAnswers(wait time.Duration) answers {
	return answers{newBudget(listMemory, wait, busyAnswering), newBudget(chartMemory, wait, busyAnswering)}
}

// weight says what answering the request may hold; a route without one holds
// next to nothing.
type weight func(a *answers, q *query) (*budget, int64)

func weighList(a *answers, q *query) (*budget, int64) {
	return a.lists, int64(q.limit()) * eventMemory
}

func weighChart(a *answers, _ *query) (*budget, int64) { return a.charts, chartShare }

// share is what one request holds.
type share struct {
	budget *budget
	bytes  int64
}

func (a *answers) hold(ctx context.Context, w weight, q *query) (*share, error) {
	if w == nil {
		return &share{}, nil
	}
	b, bytes := w(a, q)
	if err := b.take(ctx, bytes); err != nil {
		return nil, err
	}
	return &share{b, bytes}, nil
}

// shrink gives back what an answer of this size does not need; small ones fit
// the buffers of the connection.
func (h *share) shrink(size int64) {
	if h == nil || h.budget == nil || size >= h.bytes {
		return
	}
	if size <= smallAnswer {
		size = 0
	}
	h.budget.give(h.bytes - size)
	h.bytes = size
}

const (
	smallAnswer = 64 << 10
	// An answer is taken at this pace at least, after a while for a start.
	slowestReader = 128 << 10 // bytes a second
	readerStart   = 10 * time.Second
	longestAnswer = 2 * time.Minute
)

// hurry bounds how long a large answer is held for who takes it.
func hurry(w http.ResponseWriter, size int) {
	if size <= smallAnswer {
		return
	}
	most := min(readerStart+time.Duration(size)*time.Second/slowestReader, longestAnswer)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(most)) // a recorder in a test has none
}
