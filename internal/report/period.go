package report

import "time"

// Period is a range of time, half-open.
type Period struct{ From, To time.Time }

// Before is where a period as long as the window begins that ends at to. A window
// of whole days is so many days, also where clocks change. Nothing is older than
// 1970.
func Before(to time.Time, window Period, loc *time.Location) time.Time {
	if loc == nil {
		loc = time.UTC
	}
	from := to.Add(-window.To.Sub(window.From))
	if days, whole := wholeDays(window, loc); whole && isDay(to, loc) {
		y, m, d := to.In(loc).Date()
		from = time.Date(y, m, d-days, 0, 0, 0, 0, loc)
	}
	if epoch := time.Unix(0, 0); from.Before(epoch) {
		from = epoch
	}
	return from.UTC()
}

func isDay(t time.Time, loc *time.Location) bool {
	y, m, d := t.In(loc).Date()
	return t.Equal(time.Date(y, m, d, 0, 0, 0, 0, loc))
}

// wholeDays counts the local days of a window that begins and ends with one.
func wholeDays(p Period, loc *time.Location) (int, bool) {
	if !isDay(p.From, loc) || !isDay(p.To, loc) {
		return 0, false
	}
	civil := func(t time.Time) time.Time {
		y, m, d := t.In(loc).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	return int(civil(p.To).Sub(civil(p.From)) / (24 * time.Hour)), true
}
