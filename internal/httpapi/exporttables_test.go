package httpapi

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
)

// tables are the exports that are no events, with the list of the API whose rows
// they have.
var tables = []struct{ what, list string }{{"features", "/api/v1/analytics/features"}, {"prompts", "/api/v1/analytics/prompts"}}

func fillTables(f *fixture) {
	f.Helper()
	var events []string
	for i := range 60 {
		events = append(events, event(i, fmt.Sprintf(`{"feature":%q,"inputTokens":%d,"latencyMs":%d.125,"cacheWriteTokens":%d}`,
			[]string{"=chat", "se\"ar,ch", "-1", "ünïcode\nline"}[i%4], 1000+i%5/4*20_000, i, 500*(i%2))))
	}
	f.post("/api/v1/events", batch(events...)).want(202)
}

// A row of an export is a row of the list, in every format.
func TestExportTables(t *testing.T) {
	f := setup(t)
	fillTables(f)
	for _, table := range tables {
		path := "/api/v1/export/" + table.what + "?" + november
		var list struct{ Data []map[string]any }
		decode(t, f.get(table.list+"?limit=1000&"+november).want(200).body, &list)
		if len(list.Data) < 4 {
			t.Fatalf("%s: %d rows", table.what, len(list.Data))
		}

		var document struct {
			Data       []map[string]any
			NextCursor *string
		}
		decode(t, f.get(path+"&format=json").want(200).body, &document)
		if diff := cmp.Diff(list.Data, document.Data); diff != "" || document.NextCursor != nil {
			t.Errorf("%s as json (-list +export):\n%s", table.what, diff)
		}
		lines := f.get(path + "&format=ndjson").want(200)
		var rows []map[string]any
		for line := range strings.Lines(string(lines.body)) {
			var row map[string]any
			decode(t, []byte(line), &row)
			rows = append(rows, row)
		}
		if diff := cmp.Diff(list.Data, rows); diff != "" {
			t.Errorf("%s as ndjson (-list +export):\n%s", table.what, diff)
		}
		sheet := f.get(path + "&bom=true").want(200)
		if name := sheet.header.Get("Content-Disposition"); name != `attachment; filename="costprof-`+table.what+`-2026-11-01-2026-11-30.csv"` {
			t.Errorf("it is named %s", name)
		}
		body, marked := bytes.CutPrefix(sheet.body, []byte("\xef\xbb\xbf"))
		records, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
		if err != nil || !marked || len(records) != len(list.Data)+1 {
			t.Fatalf("%s: %d lines, marked %t, %v", table.what, len(records), marked, err)
		}
		for i, record := range records[1:] {
			for at, cell := range record {
				name := records[0][at]
				if got, want := unguarded(cell), plain(t, list.Data[i][name]); got != want {
					t.Errorf("%s, row %d: %s is %q, want %q", table.what, i, name, got, want)
				}
				if number := name != "name" && name != "feature"; !number && cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
					t.Errorf("%s begins with a formula: %q", name, cell)
				} else if number && strings.HasPrefix(cell, "'") {
					t.Errorf("%s is no number any more: %q", name, cell)
				}
			}
		}
		checkParquet(t, f.get(path+"&format=parquet").want(200).body, list.Data)

		// In parts, also at the other path.
		var parts []byte
		query := "&limit=3"
		for n := 0; ; n++ {
			a := f.get("/api/export/" + table.what + "?" + november + query).want(200)
			if (a.header.Get("X-Total-Count") != "") != (n == 0 && table.what == "features") {
				t.Errorf("%s, part %d: %q in all", table.what, n, a.header.Get("X-Total-Count"))
			}
			parts = append(parts, a.body...)
			next := a.header.Get("X-Next-Cursor")
			if next == "" {
				break
			}
			f.post("/api/v1/events", batch(event(1000+n, `{"feature":"later","billedCostUsd":1000}`))).want(202)
			query = "&limit=3&header=false&cursor=" + next
		}
		if !bytes.Equal(parts, body) {
			t.Errorf("%s in parts:\n%s\nwant\n%s", table.what, parts, body)
		}
		f.get(path+"&format=focus").want(400).says("format", "focus is for events only", "csv, json, ndjson, parquet")
		f.get(path + "&colour=red").want(400).says("colour")
		f.get(path + "&limit=1000001").want(400).says("limit")
		f.get(path + "&cursor=nonsense").want(400).says("cursor")
		f.do(http.MethodHead, path, "").want(200)
		filtered := f.get(path + "&feature=-1").want(200)
		if n := bytes.Count(filtered.body, []byte("\r\n")) - 1; n != strings.Count(string(body), "'-1,") {
			t.Errorf("%s of one feature: %d rows\n%s", table.what, n, filtered.body)
		}
		f = setup(t)
		if empty := f.get(path + "&format=json").want(200); string(empty.body) != "{\"data\":[\n],\"nextCursor\":null}\n" {
			t.Errorf("%s of an empty ledger: %s", table.what, empty.body)
		}
		fillTables(f)
	}
}

func decode(t *testing.T, text []byte, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

func unguarded(cell string) string {
	if len(cell) > 1 && cell[0] == '\'' {
		return cell[1:]
	}
	return cell
}

// plain is a JSON value as a cell has it.
func plain(t *testing.T, v any) string {
	t.Helper()
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkParquet reads a file back by another way than it was written, and holds it
// against the rows of the list.
func checkParquet(t *testing.T, file []byte, want []map[string]any) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if int(f.NumRows()) != len(want) {
		t.Fatalf("%d rows, want %d", f.NumRows(), len(want))
	}
	fields := f.Schema().Fields()
	rows := make([]parquet.Row, len(want))
	r := parquet.NewReader(f)
	defer r.Close()
	if n, err := r.ReadRows(rows); n != len(want) {
		t.Fatal(n, err)
	}
	for i, row := range rows {
		row.Range(func(at int, values []parquet.Value) bool {
			field, cell := fields[at], want[i][fields[at].Name()]
			if list, ok := cell.([]any); ok {
				if len(values) != len(list) || len(list) == 0 || values[len(list)-1].String() != list[len(list)-1] {
					t.Errorf("row %d: %s is %v, want %v", i, field.Name(), values, list)
				}
				return true
			}
			got, expect := values[0].String(), plain(t, cell)
			var scale, precision int64
			if _, err := fmt.Sscanf(field.Type().String(), "DECIMAL(%d,%d)", &precision, &scale); err == nil {
				n := new(big.Int)
				if values[0].Kind() == parquet.FixedLenByteArray {
					b := values[0].ByteArray()
					n.SetBytes(b)
					if b[0]&0x80 != 0 {
						n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 128))
					}
				} else {
					n.SetInt64(values[0].Int64())
				}
				unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(scale), nil)
				is, ok := new(big.Rat).SetString(expect)
				if !ok || is.Cmp(new(big.Rat).SetFrac(n, unit)) != 0 {
					t.Errorf("row %d: %s is %s/%s, want %s", i, field.Name(), n, unit, expect)
				}
				return true
			}
			if strings.HasPrefix(field.Type().String(), "TIMESTAMP") {
				got = time.UnixMicro(values[0].Int64()).UTC().Format(time.RFC3339Nano)
			}
			if got != expect {
				t.Errorf("row %d: %s is %q, want %q", i, field.Name(), got, expect)
			}
			return true
		})
	}
}
