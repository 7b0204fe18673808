package export

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// A number that a row does not have is null, and an empty cell.
func TestOptional(t *testing.T) {
	columns := []Column[int64]{
		Whole("n", func(n *int64) int64 { return *n }),
		OptionalDecimal("ratio", 3, func(n *int64) (int64, bool) { return *n, *n >= 0 }),
		Flag("good", func(n *int64) bool { return *n > 0 }),
		Text("end", func(*int64) string { return "e" }),
	}
	for format, want := range map[string]string{
		"csv":     "n,ratio,good,end\r\n1500,1.5,true,e\r\n-1,,false,e\r\n",
		"ndjson":  "{\"n\":1500,\"ratio\":1.5,\"good\":true,\"end\":\"e\"}\n{\"n\":-1,\"ratio\":null,\"good\":false,\"end\":\"e\"}\n",
		"parquet": "",
	} {
		var out bytes.Buffer
		w := Table(Format{Name: format}, columns, &out, Options{})
		for _, n := range []int64{1500, -1} {
			if err := w.Write(&n); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(""); err != nil {
			t.Fatal(err)
		}
		if format != "parquet" {
			if out.String() != want {
				t.Errorf("%s: %q", format, out.String())
			}
			continue
		}
		type row struct {
			N     int64  `parquet:"n"`
			Ratio *int64 `parquet:"ratio,optional,decimal(3:18)"`
			Good  bool   `parquet:"good"`
			End   string `parquet:"end"`
		}
		got, err := parquet.Read[row](bytes.NewReader(out.Bytes()), int64(out.Len()))
		if err != nil || len(got) != 2 || *got[0].Ratio != 1500 || got[1].Ratio != nil || !got[0].Good || got[1].Good || got[1].End != "e" {
			t.Errorf("%+v, %v", got, err)
		}
	}
}
