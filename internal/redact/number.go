package redact

// maxGroups is how many groups of digits are looked at together.
const maxGroups = 7

// number looks for a card or telephone number that begins with the digits from i
// to run.
func (t *text) number(i, run int) span {
	// A number that goes on before, as 0.4242… and 12-4242… do.
	before := t.before(i)
	if isWord(before) || before == '+' || (before == '.' || before == '-' || before == ',') && isDigit(t.before(i-1)) {
		return span{}
	}
	if n := run - i; n >= 13 {
		if n <= 19 && t.ends(run) && isCard(t.s[i:run]) {
			return span{i, run, card}
		}
		return span{}
	}
	separator := t.at(run)
	if separator != ' ' && separator != '-' && separator != '.' && separator != '/' || !isDigit(t.at(run+1)) {
		return span{}
	}
	var lengths, ends [maxGroups]int
	n, at := 0, i
	for n < maxGroups {
		d := t.digits(at)
		if d == 0 {
			break
		}
		lengths[n], ends[n] = d, at+d
		n++
		if t.at(at+d) != separator {
			break
		}
		at += d + 1
	}
	if separator == ' ' || separator == '-' {
		if to := t.groupedCard(i, separator, lengths[:n], ends[:n]); to > 0 {
			return span{i, to, card}
		}
	}
	if to := t.national(i, separator, lengths[:n], ends[:n]); to > 0 {
		return span{i, to, phone}
	}
	return span{}
}

// ends says whether a number may end at i: it does not go on as a word, a
// fraction or behind a dash.
func (t *text) ends(i int) bool {
	c := t.at(i)
	return !isWord(c) && c != '_' && !((c == '.' || c == '-' || c == ',') && isWord(t.at(i+1)))
}

// cardForms are how the digits of cards are grouped.
var cardForms = [...][]int{{4, 4, 4, 4, 3}, {4, 4, 4, 4}, {4, 6, 5}, {4, 6, 4}, {4, 4, 4, 1}}

// groupedCard gives the end of a card number in groups, 0 for none.
func (t *text) groupedCard(i int, separator byte, lengths, ends []int) int {
	if separator == ' ' && !t.mayBeCard(i) {
		return 0
	}
	for _, form := range cardForms {
		if len(lengths) < len(form) {
			continue
		}
		var digits [19]byte
		n, same := 0, true
		for g, want := range form {
			if lengths[g] != want {
				same = false
				break
			}
			n += copy(digits[n:], t.s[ends[g]-want:ends[g]])
		}
		to := ends[len(form)-1]
		if same && t.ends(to) && isCard(string(digits[:n])) {
			return to
		}
	}
	return 0
}

// tableFrom is how many groups of four digits in a row are a table and no card
// number.
const tableFrom = 10

// mayBeCard says whether a row of numbers of four digits, with single spaces
// between, in which the one at i stands, is short enough to hold a card number, or
// can be cut into card numbers at i: one in ten windows of a table of such numbers
// would pass the check digit.
func (t *text) mayBeCard(i int) bool {
	back, ahead := 0, 0
	for at := i; back < 4*tableFrom; back++ {
		from := at - 5
		if from < t.end || t.s[at-1] != ' ' || t.digits(from) != 4 || isDigit(t.before(from)) {
			break
		}
		at = from
	}
	for at := i; ahead < 4*tableFrom && t.digits(at) == 4; ahead++ {
		if at += 4; t.at(at) != ' ' {
			ahead++
			break
		}
		at++
	}
	return back+ahead < tableFrom || back%4 == 0 && (back+ahead)%4 == 0
}

// isCard says whether digits have the beginning, the length and the check digit of
// a card number.
func isCard(digits string) bool {
	n := len(digits)
	two := int(digits[0]-'0')*10 + int(digits[1]-'0')
	switch {
	case two >= 40 && two <= 49:
		if n != 13 && n != 16 && n != 19 {
			return false
		}
	case two >= 51 && two <= 55, two >= 22 && two <= 27:
		if n != 16 {
			return false
		}
	case two == 34, two == 37:
		if n != 15 {
			return false
		}
	case two == 30, two == 36, two == 38, two == 39:
		if n != 14 && n != 16 {
			return false
		}
	case two == 35:
		if n < 16 {
			return false
		}
	case two == 50, two >= 56 && two <= 69, two == 81, two == 82:
	default:
		return false
	}
	sum, zeros := 0, 0
	for i := range n {
		d := int(digits[n-1-i] - '0')
		if d == 0 {
			zeros++
		}
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0 && zeros < n-1
}

// national gives the end of a telephone number of North America, or of an
// international one that begins with 00 and is in groups; 0 for none.
func (t *text) national(i int, separator byte, lengths, ends []int) int {
	if c := t.before(i); c == '-' || c == '/' || c == '_' {
		return 0
	}
	area := i
	if len(lengths) >= 4 && lengths[0] == 1 && t.s[i] == '1' {
		lengths, ends, area = lengths[1:], ends[1:], ends[0]+1
	}
	if len(lengths) == 3 && lengths[0] == 3 && lengths[1] == 3 && lengths[2] == 4 && separator != '/' &&
		t.s[area] >= '2' && t.s[area+4] >= '2' && (separator != ' ' || area > i) && t.ends(ends[2]) {
		return ends[2]
	}
	if t.s[i] != '0' || t.s[i+1] != '0' || area != i || separator == '.' {
		return 0
	}
	if c := t.at(i + 2); c == '0' || lengths[0] < 3 || lengths[0] > 5 {
		return 0
	}
	total, fours := -2, true
	for g, n := range lengths {
		total += n
		// Columns of four digits are more often a dump of memory.
		fours = fours && (n == 4 || g > 0 && g == len(lengths)-1 && n < 4)
	}
	if to := ends[len(ends)-1]; !fours && total >= 9 && total <= 15 && t.ends(to) {
		return to
	}
	return 0
}
