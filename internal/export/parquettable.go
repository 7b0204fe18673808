package export

import (
	"io"
	"math/big"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/snappy"

	"github.com/costprof/costprof/internal/money"
)

// inOrder is a group whose fields stand as they were given, not by name.
type inOrder struct {
	parquet.Group
	fields []parquet.Field
}

// Fields implements parquet.Node.
func (g inOrder) Fields() []parquet.Field { return g.fields }

func (c *Column[T]) node() parquet.Node {
	switch c.kind {
	case kindText:
		return parquet.String()
	case kindTexts:
		return parquet.List(parquet.String())
	case kindWhole:
		return parquet.Int(64)
	case kindDecimal:
		return parquet.Decimal(c.decimals, 18, parquet.Int64Type)
	case kindOptional:
		return parquet.Optional(parquet.Decimal(c.decimals, 18, parquet.Int64Type))
	case kindFlag:
		return parquet.Leaf(parquet.BooleanType)
	case kindInstant:
		return parquet.TimestampAdjusted(parquet.Microsecond, true)
	}
	return parquet.Decimal(12, 38, parquet.FixedLenByteArrayType(len(amount{})))
}

// appendValues appends the row's value as the at-th column.
func (c *Column[T]) appendValues(to parquet.Row, at int, row *T) parquet.Row {
	one := func(v parquet.Value) parquet.Row { return append(to, v.Level(0, 0, at)) }
	switch c.kind {
	case kindText:
		return one(parquet.ByteArrayValue([]byte(c.text(row))))
	case kindTexts:
		texts := c.texts(row)
		if len(texts) == 0 {
			return one(parquet.NullValue())
		}
		for i, s := range texts {
			to = append(to, parquet.ByteArrayValue([]byte(s)).Level(min(i, 1), 1, at))
		}
		return to
	case kindWhole, kindDecimal:
		return one(parquet.Int64Value(c.whole(row)))
	case kindFlag:
		return one(parquet.BooleanValue(c.flag(row)))
	case kindOptional:
		n, ok := c.optional(row)
		if !ok {
			return one(parquet.NullValue())
		}
		return append(to, parquet.Int64Value(n).Level(0, 1, at))
	case kindInstant:
		return one(parquet.Int64Value(c.instant(row).UnixMicro()))
	}
	a := totalAmount(c.total(row))
	return one(parquet.FixedLenByteArrayValue(a[:]))
}

// totalAmount is a sum in the form of amount, two's complement.
func totalAmount(t money.Total) (a amount) {
	n := t.Big()
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(a))))
	}
	n.FillBytes(a[:])
	return a
}

type parquetTable[T any] struct {
	w       *parquet.GenericWriter[any]
	columns []Column[T]
	row     [1]parquet.Row
	group   int
}

func newParquetTable[T any](columns []Column[T], w io.Writer) *parquetTable[T] {
	g := inOrder{Group: parquet.Group{}}
	at := map[string]int{}
	for i := range columns {
		g.Group[columns[i].Name], at[columns[i].Name] = columns[i].node(), i
	}
	g.fields = g.Group.Fields()
	slices.SortFunc(g.fields, func(a, b parquet.Field) int { return at[a.Name()] - at[b.Name()] })
	return &parquetTable[T]{columns: columns, w: parquet.NewGenericWriter[any](w, parquet.NewSchema("row", g),
		parquet.Compression(&snappy.Codec{}), parquet.PageBufferSize(bufferSize), parquet.CreatedBy("costprof", "1", "0"))}
}

// Write implements Writer.
func (p *parquetTable[T]) Write(row *T) error {
	p.row[0] = p.row[0][:0]
	for i := range p.columns {
		p.row[0] = p.columns[i].appendValues(p.row[0], i, row)
	}
	if _, err := p.w.WriteRows(p.row[:]); err != nil {
		return err
	}
	if p.group++; p.group < groupRows {
		return nil
	}
	p.group = 0
	return p.w.Flush()
}

// Close implements Writer.
func (p *parquetTable[T]) Close(string) error { return p.w.Close() }
