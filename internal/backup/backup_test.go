package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/costprof/costprof/internal/backup"
	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
)

// rows are the content of a ledger by table.
type rows map[string][][]any

func (r rows) Dump(_ context.Context, to store.Sink) error {
	for _, t := range store.Tables() {
		if err := to.Table(t); err != nil {
			return err
		}
		for _, row := range r[t.Name] {
			if err := to.Row(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// kept is a sink that remembers.
type kept struct {
	rows
	table string
}

func (k *kept) Table(t *store.Table) error {
	k.table = t.Name
	k.rows[t.Name] = nil
	return nil
}

func (k *kept) Row(values []any) error {
	row := make([]any, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case []byte:
			row[i] = bytes.Clone(v)
		case []int64:
			row[i] = append([]int64{}, v...)
		default:
			row[i] = v
		}
	}
	k.rows[k.table] = append(k.rows[k.table], row)
	return nil
}

func value(c store.Column) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if !c.Required && rapid.Bool().Draw(t, "null") {
			return nil
		}
		switch c.Kind {
		case store.Int, store.Moment:
			return rapid.Int64().Draw(t, c.Name)
		case store.Bool:
			return rapid.Bool().Draw(t, c.Name)
		case store.Text:
			return strings.ToValidUTF8(rapid.String().Draw(t, c.Name), "?")
		case store.Bytes:
			return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, c.Name)...)
		case store.UUID:
			return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, c.Name))
		case store.Ints:
			return append([]int64{}, rapid.SliceOfN(rapid.Int64(), 0, 9).Draw(t, c.Name)...)
		}
		panic(c.Kind)
	})
}

func ledger(t *rapid.T) rows {
	out := rows{}
	for _, table := range store.Tables() {
		for range rapid.IntRange(0, 4).Draw(t, table.Name) {
			row := make([]any, len(table.Columns))
			for i, c := range table.Columns {
				row[i] = value(c).Draw(t, c.Name)
			}
			out[table.Name] = append(out[table.Name], row)
		}
	}
	return out
}

func write(t interface {
	Helper()
	Fatal(...any)
}, d store.Dumper) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := backup.Write(context.Background(), &b, d, backup.Header{Program: "costprof 1", Ledger: "test"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (rows, backup.Summary, error) {
	k := &kept{rows: rows{}}
	s, err := backup.Read(context.Background(), bytes.NewReader(b), k)
	return k.rows, s, err
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := ledger(t)
		file := write(t, want)
		got, s, err := read(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range store.Tables() {
			if n := int64(len(want[table.Name])); s.Rows[table.Name] != n {
				t.Fatalf("%s: %d rows in the summary, want %d", table.Name, s.Rows[table.Name], n)
			}
		}
		if name := differs(want, got); name != "" {
			t.Fatalf("%s: got %v, want %v", name, got[name], want[name])
		}
		// Any byte that is lost or another one is noticed.
		at := rapid.IntRange(0, len(file)-1).Draw(t, "at")
		if _, _, err := read(file[:at]); fault.CodeOf(err) != fault.Invalid {
			t.Fatalf("cut off at %d of %d: %v", at, len(file), err)
		}
		file[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		// A bit that no reader looks at may be another one.
		if got, _, err := read(file); err == nil && differs(want, got) != "" {
			t.Fatalf("byte %d changed, and the backup reads as another one", at)
		}
	})
}

// differs names a table whose rows are not the same.
func differs(a, b rows) string {
	for _, table := range store.Tables() {
		x, y := a[table.Name], b[table.Name]
		if len(x)+len(y) > 0 && !reflect.DeepEqual(x, y) {
			return table.Name
		}
	}
	return ""
}

// A dump that breaks off leaves no file that reads.
func TestBrokenDump(t *testing.T) {
	torn := errors.New("torn")
	var b bytes.Buffer
	_, err := backup.Write(t.Context(), &b, breaking{torn}, backup.Header{})
	if !errors.Is(err, torn) {
		t.Fatalf("Write: %v", err)
	}
	if _, _, err := read(b.Bytes()); fault.CodeOf(err) != fault.Invalid {
		t.Fatalf("Read: %v", err)
	}
	// What reading and loading fail with is not the file's fault.
	file := write(t, rows{})
	if _, err := backup.Read(t.Context(), io.MultiReader(bytes.NewReader(file[:len(file)/2]), failing{torn}), &kept{rows: rows{}}); !errors.Is(err, torn) {
		t.Fatalf("a reader that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

type breaking struct{ err error }

func (b breaking) Dump(ctx context.Context, to store.Sink) error {
	if err := (rows{"settings": {{"a", []byte("b")}}}).Dump(ctx, to); err != nil {
		return err
	}
	return b.err
}

func TestForeignFiles(t *testing.T) {
	frames := func(parts ...string) string {
		var b bytes.Buffer
		b.WriteString("costprof backup 1\n")
		z, _ := zstd.NewWriter(&b)
		for _, p := range parts {
			z.Write([]byte{p[0]})
			z.Write([]byte{byte(len(p) - 1)}) // all are short
			z.Write([]byte(p[1:]))
		}
		z.Close()
		return b.String()
	}
	head := `H{"program":"costprof 9"}`
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "this is not a backup of costprof"},
		{"text", "hello, world, this is text", "this is not a backup of costprof"},
		{"beginning", "costprof backup", "it has a beginning only"},
		{"later form", "costprof backup 2\nabc", "a form that this version does not know"},
		{"no stream", "costprof backup 1\nabc", "its end is missing"},
		{"no header", frames(`T{}`), "its header is missing"},
		{"no end", frames(head), "its end is missing"},
		{"later table", frames(head, `T{"name":"moods","columns":[]}`), `made by costprof 9, which stores "moods"`},
		{"later column", frames(head, `T{"name":"position","columns":[{"name":"last","kind":"int"},{"name":"mood","kind":"int"}]}`), `which stores "position.mood"`},
		{"no table", frames(head, "Tx"), "a table cannot be read"},
		{"lacking", frames(head, `T{"name":"tags","columns":[{"name":"tagset","kind":"int"}]}`), "lacks tags.name"},
		{"rows first", frames(head, "Rx"), "rows stand before their table"},
		{"bad row", frames(head, `T{"name":"position","columns":[{"name":"last","kind":"int"}]}`, "R\x09"), "a row of position cannot be read"},
		{"null", frames(head, `T{"name":"position","columns":[{"name":"last","kind":"int"}]}`, "R\x00"), "a row of position lacks last"},
		{"twice", frames(head, `T{"name":"position","columns":[{"name":"last","kind":"int"}]}`, `T{"name":"position","columns":[{"name":"last","kind":"int"}]}`), "comes twice"},
		{"wrong sum", frames(head, `E{"rows":{},"sha256":"00"}`), "its checksum is not that of its content"},
		{"unknown part", frames(head, "X"), "unknown part"},
	} {
		_, _, err := read([]byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) || fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, _, err := read(append(write(t, rows{}), "more"...)); fault.CodeOf(err) != fault.Invalid {
		t.Errorf("something behind the end: %v", err)
	}
}

func TestTally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := ledger(t)
		tally := func(r rows) *backup.Tally {
			out, err := backup.TallyOf(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if err := tally(a).Equal(tally(a)); err != nil {
			t.Fatal(err)
		}
		for _, table := range store.Tables() {
			list := a[table.Name]
			if table.Name == store.PositionTable || len(list) == 0 {
				continue
			}
			i := rapid.IntRange(0, len(list)-1).Draw(t, "row")
			j := rapid.IntRange(0, len(table.Columns)-1).Draw(t, "column")
			was := list[i][j]
			list[i][j] = value(table.Columns[j]).Draw(t, "value")
			other := tally(a)
			changed := !reflect.DeepEqual(was, list[i][j])
			list[i][j] = was
			if err := tally(a).Equal(other); (err != nil) != changed {
				t.Fatalf("%s row %d, %s changed: %v, found: %v", table.Name, i, table.Columns[j].Name, changed, err)
			}
			return
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add(write(f, rows{"settings": {{"a", []byte("b")}}, "position": {{int64(3)}}}))
	f.Add([]byte("costprof backup 1\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, err := read(b)
		if err != nil && fault.CodeOf(err) != fault.Invalid {
			t.Fatalf("%v", err)
		}
	})
}

// A backup from before there was a column is read with what it stood for then.
func TestOlderBackup(t *testing.T) {
	for _, table := range store.Tables() {
		for i, c := range table.Columns {
			if c.Before == nil {
				continue
			}
			older := *table
			older.Columns = append(append([]store.Column{}, table.Columns[:i]...), table.Columns[i+1:]...)
			got, _, err := read(write(t, olderLedger{&older}))
			if err != nil || len(got[table.Name]) != 1 || got[table.Name][0][i] != c.Before {
				t.Errorf("%s.%s: %v, %v", table.Name, c.Name, got[table.Name], err)
			}
		}
	}
}

// olderLedger has one row in one table, of an older form.
type olderLedger struct{ table *store.Table }

func (o olderLedger) Dump(_ context.Context, to store.Sink) error {
	for _, t := range store.Tables() {
		if t.Name != o.table.Name {
			if err := to.Table(t); err != nil {
				return err
			}
			continue
		}
		if err := to.Table(o.table); err != nil {
			return err
		}
		row := make([]any, len(o.table.Columns))
		for i, c := range o.table.Columns {
			row[i] = map[store.Kind]any{store.Int: int64(1), store.Moment: int64(1), store.Bool: true, store.Text: "a", store.Bytes: []byte("a"), store.UUID: [16]byte{}, store.Ints: []int64{1}}[c.Kind]
		}
		if err := to.Row(row); err != nil {
			return err
		}
	}
	return nil
}
