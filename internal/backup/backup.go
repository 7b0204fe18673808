// Package backup owns the file of a backup: everything a ledger stores, in a
// form of our own that no engine has a part in, so that a backup of one is
// restored into any other. It writes what a store.Dumper gives, reads it for a
// store.Load, and says whether a file is whole. It refuses to know engines, HTTP
// and file names.
//
// A file is a line that names the form, then a zstd stream of frames: a letter,
// the length of the content as a varint, the content.
//
//	H  header as JSON
//	T  table as JSON: the rows that follow are of it
//	R  rows, each a value for each column
//	E  end as JSON: the rows of each table, and the SHA-256 of all frames before
//
// A value is a tag and what it needs: an integer is a zig-zag varint, a text its
// length and bytes. A file without its end is no backup, whatever cut it off.
package backup

import (
	"time"
)

// magic begins a file; the number is that of the form.
const magic = "costprof backup 1\n"

const (
	frameHeader = 'H'
	frameTable  = 'T'
	frameRows   = 'R'
	frameEnd    = 'E'
)

// maxFrame bounds the memory that a frame takes. The largest row is a price list.
const maxFrame = 64 << 20

// rowsPerFrame is at how many bytes a frame of rows is full.
const rowsPerFrame = 128 << 10

// The tags of values.
const (
	tagNull = iota
	tagInt
	tagFalse
	tagTrue
	tagText
	tagBytes
	tagUUID
	tagInts
)

// Header says what a backup is of.
type Header struct {
	// Made is when it was begun, Program what made it, Ledger the kind of engine.
	Made    time.Time `json:"made"`
	Program string    `json:"program"`
	Ledger  string    `json:"ledger"`
}

// Summary is what was written or read.
type Summary struct {
	Header
	// Rows is how many each table has.
	Rows map[string]int64
}

type tableFrame struct {
	Name    string        `json:"name"`
	Columns []columnFrame `json:"columns"`
}

type columnFrame struct {
	Name string `json:"name"`
	Kind string `json:"kind"`
}

type endFrame struct {
	Rows   map[string]int64 `json:"rows"`
	SHA256 string           `json:"sha256"`
}
