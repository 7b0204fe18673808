package export

import (
	"bytes"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"github.com/costprof/costprof/internal/money"
	"github.com/costprof/costprof/internal/usage"
)

func TestParquetReadBack(t *testing.T) {
	when := time.Date(2026, 11, 3, 1, 2, 3, 4000, time.UTC)
	billed := money.USD(8_999_999_999_999_999_999)
	full := usage.Record{
		ID: usage.ID{1, 2, 0xff}, ReceivedAt: when.Add(time.Second),
		Event: usage.Event{
			Timestamp: when, Feature: "=f", Project: "p", Model: "m", Provider: "é", TraceID: "t", SpanID: "s", Latency: 1500 * time.Microsecond,
			Billed: &billed, Tags: map[string]string{"a": "", "b": "x"}, TimeToFirstToken: 0, Error: true, Metadata: []byte(`{"a":1}`),
		},
		Costing: usage.Costing{CacheSaving: -5, Source: usage.SourceBilled},
	}
	full.Counts[usage.Input], full.Counts[usage.WebSearches] = 10, 3
	full.Classes[usage.ClassUnsplit] = billed
	bare := usage.Record{Event: usage.Event{Timestamp: when, Feature: "f", TimeToFirstToken: -1}}

	var file bytes.Buffer
	w := newParquet(&file, Options{})
	const rows = groupRows + 101 // more than one row group
	for i := range rows {
		r := &bare
		if i == 0 {
			r = &full
		}
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(""); err != nil {
		t.Fatal(err)
	}
	got, err := parquet.Read[parquetEvent](bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil || len(got) != rows {
		t.Fatalf("%d rows, %v", len(got), err)
	}
	if diff := cmp.Diff(rowOf(&full), got[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if last := got[rows-1]; last.FirstTokenMicros != nil || last.Billed != nil || len(last.Tags) > 0 {
		t.Errorf("what is missing is %v, %v, %v", last.FirstTokenMicros, last.Billed, last.Tags)
	}
	f, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(f.RowGroups()); n != 2 {
		t.Errorf("%d row groups", n)
	}
	types := map[string]string{}
	for _, field := range f.Schema().Fields() {
		types[field.Name()] = field.String()
		if field.Leaf() {
			types[field.Name()] = field.Type().String()
		}
	}
	for name, want := range map[string]string{
		"cost": "DECIMAL(38,12)", "timestamp": "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "feature": "STRING", "inputTokens": "INT(64,true)", "isError": "BOOLEAN",
	} {
		if types[name] != want {
			t.Errorf("%s is %s, want %s", name, types[name], want)
		}
	}
}

func TestAmountIsTwosComplement(t *testing.T) {
	for _, a := range []money.USD{0, 1, -1, 255, -256, 9_223_372_036_854_775_807, -9_223_372_036_854_775_808} {
		d := amountOf(a)
		got := new(big.Int).SetBytes(d[:])
		if d[0]&0x80 != 0 {
			got.Sub(got, new(big.Int).Lsh(big.NewInt(1), 128))
		}
		if got.Int64() != int64(a) || !got.IsInt64() {
			t.Errorf("%d is written as %v", a, got)
		}
	}
}
