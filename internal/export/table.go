package export

import (
	"io"
	"strconv"
	"time"

	"github.com/costprof/costprof/internal/money"
)

// Column is a column of a table whose rows are of type T. Its type holds in every
// format: money and decimals are exact in all of them.
type Column[T any] struct {
	Name string

	kind     kind
	decimals int
	text     func(*T) string
	texts    func(*T) []string
	whole    func(*T) int64
	optional func(*T) (int64, bool)
	flag     func(*T) bool
	total    func(*T) money.Total
	instant  func(*T) time.Time
}

type kind uint8

const (
	kindText kind = iota
	kindTexts
	kindWhole
	kindDecimal
	kindOptional
	kindFlag
	kindMoney
	kindInstant
)

// Text is a column of texts.
func Text[T any](name string, get func(*T) string) Column[T] {
	return Column[T]{Name: name, kind: kindText, text: get}
}

// Texts is a column of lists of texts: a JSON array in CSV.
func Texts[T any](name string, get func(*T) []string) Column[T] {
	return Column[T]{Name: name, kind: kindTexts, texts: get}
}

// Whole is a column of integers.
func Whole[T any](name string, get func(*T) int64) Column[T] {
	return Column[T]{Name: name, kind: kindWhole, whole: get}
}

// Decimal is a column of get ÷ 10^decimals.
func Decimal[T any](name string, decimals int, get func(*T) int64) Column[T] {
	return Column[T]{Name: name, kind: kindDecimal, decimals: decimals, whole: get}
}

// OptionalDecimal is Decimal of rows that may have none: null, and an empty cell in
// CSV.
func OptionalDecimal[T any](name string, decimals int, get func(*T) (int64, bool)) Column[T] {
	return Column[T]{Name: name, kind: kindOptional, decimals: decimals, optional: get}
}

// Flag is a column of truths.
func Flag[T any](name string, get func(*T) bool) Column[T] {
	return Column[T]{Name: name, kind: kindFlag, flag: get}
}

// Money is a column of amounts in USD.
func Money[T any](name string, get func(*T) money.Total) Column[T] {
	return Column[T]{Name: name, kind: kindMoney, total: get}
}

// Instant is a column of instants, to the microsecond, in UTC.
func Instant[T any](name string, get func(*T) time.Time) Column[T] {
	return Column[T]{Name: name, kind: kindInstant, instant: get}
}

// Table begins a file of rows with these columns. The format must not be one of
// events only.
func Table[T any](f Format, columns []Column[T], w io.Writer, o Options) Writer[T] {
	switch f.Name {
	case "json", "ndjson":
		j := &jsonTable[T]{columns: columns}
		j.begin(w, f.Name == "json")
		return j
	case "parquet":
		return newParquetTable(columns, w)
	}
	c := &csvTable[T]{buffer{w: w}, columns}
	header := []byte{}
	for i := range columns {
		header = append(appendCell(header, columns[i].Name), ',')
	}
	c.begin(o, string(header[:len(header)-1])+"\r\n")
	return c
}

// AppendJSON appends the row's value.
func (c *Column[T]) AppendJSON(b []byte, row *T) []byte {
	switch c.kind {
	case kindText:
		return appendString(b, c.text(row))
	case kindTexts:
		b = append(b, '[')
		for i, s := range c.texts(row) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']')
	case kindInstant:
		return append(appendTime(append(b, '"'), c.instant(row)), '"')
	case kindWhole:
		return strconv.AppendInt(b, c.whole(row), 10)
	case kindDecimal:
		return AppendDecimal(b, c.whole(row), c.decimals)
	case kindFlag:
		return strconv.AppendBool(b, c.flag(row))
	case kindOptional:
		n, ok := c.optional(row)
		if !ok {
			return append(b, "null"...)
		}
		return AppendDecimal(b, n, c.decimals)
	}
	return c.total(row).AppendText(b)
}

// appendCell appends the row's value as a cell of a CSV: a text is guarded, a
// number is the number.
func (c *Column[T]) appendCell(b []byte, row *T) []byte {
	switch c.kind {
	case kindText:
		return appendCell(b, c.text(row))
	case kindTexts:
		return appendCell(b, string(c.AppendJSON(nil, row)))
	case kindInstant:
		return appendTime(b, c.instant(row))
	case kindOptional:
		if _, ok := c.optional(row); !ok {
			return b
		}
	}
	return c.AppendJSON(b, row)
}

type csvTable[T any] struct {
	buffer
	columns []Column[T]
}

// Write implements Writer.
func (c *csvTable[T]) Write(row *T) error {
	for i := range c.columns {
		if i > 0 {
			c.b = append(c.b, ',')
		}
		c.b = c.columns[i].appendCell(c.b, row)
	}
	c.b = append(c.b, '\r', '\n')
	return c.spill()
}

// Close implements Writer.
func (c *csvTable[T]) Close(string) error { return c.flush() }

type jsonTable[T any] struct {
	jsonFile
	columns []Column[T]
}

// Write implements Writer.
func (j *jsonTable[T]) Write(row *T) error {
	j.row()
	for i := range j.columns {
		c := &j.columns[i]
		if i == 0 {
			j.b = append(j.b, '{')
		} else {
			j.b = append(j.b, ',')
		}
		j.b = append(appendString(j.b, c.Name), ':')
		j.b = c.AppendJSON(j.b, row)
	}
	j.b = append(j.b, '}')
	return j.end()
}
