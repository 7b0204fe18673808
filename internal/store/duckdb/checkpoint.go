package duckdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A checkpoint of the engine writes to unused parts of the file and then makes
// them valid by writing a header, all but for one thing: a block of 256 KiB that
// describes tables holds 64 parts, and is written over in place while the header
// still refers to some of them. A write that is cut off there, by an error, a
// kill or a loss of power, leaves a file that opens with neither its log nor
// without. So checkpoints are made by us alone, and those blocks and the headers
// are kept in the file `undo` while one runs. A start that finds it puts them
// back, unless the checkpoint was complete; the log is still there by then.

const (
	undoFile  = "undo"
	undoMagic = "costprof-undo-1\n"
	// headers is where the blocks begin: one header for good and two that take
	// turns.
	headers = 12 << 10
	// checkpointAt is the size of the log at which a checkpoint is made. Bigger
	// means rarer stalls of ingest and a longer replay after a crash: about 1 s for
	// 128 MB.
	checkpointAt = 128 << 20
	// checkpointAgain is how much the log grows before a checkpoint that could not
	// begin is tried again.
	checkpointAgain = 16 << 20
)

// checkpoint writes the log into the ledger's file. After an error the database
// must be closed: what it believes of the file may not be so, and a second
// attempt would make that durable.
func (e *Engine) checkpoint(ctx context.Context, db executor) error {
	if err := e.keepUndo(ctx, db); err != nil {
		return fmt.Errorf("prepare a checkpoint: %w", err)
	}
	if _, err := db.ExecContext(ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := os.Remove(filepath.Join(e.opts.Dir, undoFile)); err != nil {
		return fmt.Errorf("end a checkpoint: %w", err)
	}
	return nil
}

// executor is a database or a connection.
type executor interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// checkpointIfDue makes a checkpoint when the log has grown enough.
func (w *writer) checkpointIfDue(ctx context.Context) {
	if w.conn == nil {
		return
	}
	info, err := os.Stat(filepath.Join(w.e.opts.Dir, walFile))
	if err != nil || info.Size() < w.nextCheckpoint {
		return
	}
	w.nextCheckpoint = info.Size() + checkpointAgain
	begin := time.Now()
	if err := w.e.checkpoint(ctx, w.conn); err != nil {
		w.e.log.Warn("the log could not be written into the ledger; what is stored is safe in it", "err", err)
		w.reset(ctx, errors.Join(errReopen, err))
		return
	}
	w.nextCheckpoint = checkpointAt
	w.e.log.Debug("wrote the log into the ledger", "took", time.Since(begin))
}

// errReopen marks a failure after which the file must be opened anew.
var errReopen = errors.New("the ledger is opened anew")

// part is a piece of the ledger's file as it was.
type part struct {
	at    int64
	bytes []byte
}

// keepUndo makes durable what a checkpoint may write over in place.
func (e *Engine) keepUndo(ctx context.Context, db querier) error {
	var size int64
	if err := db.QueryRowContext(ctx, `SELECT block_size FROM pragma_database_size()`).Scan(&size); err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, `SELECT block_id FROM pragma_metadata_info() ORDER BY block_id`)
	if err != nil {
		return err
	}
	defer rows.Close()
	parts := []part{{0, make([]byte, headers)}}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		parts = append(parts, part{headers + id*size, make([]byte, size)})
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if e.file == nil {
		// It stays open: the engine's lock on the file is lost when any handle of
		// this process on it is closed.
		if e.file, err = os.Open(filepath.Join(e.opts.Dir, ledgerFile)); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	b.WriteString(undoMagic)
	for _, p := range parts {
		n, err := e.file.ReadAt(p.bytes, p.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(p.at)))
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
		b.Write(p.bytes[:n])
	}
	sum := sha256.Sum256(b.Bytes())
	b.Write(sum[:])
	return writeDurably(filepath.Join(e.opts.Dir, undoFile), b.Bytes())
}

// readUndo gives what keepUndo kept, nil when no checkpoint was running.
func readUndo(dir string) ([]part, error) {
	b, err := os.ReadFile(filepath.Join(dir, undoFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what a checkpoint was changing: %w", err)
	}
	at := len(b) - sha256.Size
	if at < len(undoMagic) || string(b[:len(undoMagic)]) != undoMagic || sha256.Sum256(b[:at]) != [sha256.Size]byte(b[at:]) {
		return nil, errors.New("the file undo in the data directory is damaged; a checkpoint was cut off and cannot be taken back")
	}
	var parts []part
	for b = b[len(undoMagic):at]; len(b) > 16; {
		p := part{at: int64(binary.LittleEndian.Uint64(b))}
		n := binary.LittleEndian.Uint64(b[8:])
		if b = b[16:]; n > uint64(len(b)) {
			return nil, errors.New("the file undo in the data directory is damaged")
		}
		p.bytes, b = b[:n], b[n:]
		parts = append(parts, p)
	}
	return parts, nil
}

// takeBack undoes a checkpoint that was cut off. One whose header is in place is
// complete and made durable, unless damaged says that the file does not open with
// it.
func takeBack(dir string, damaged bool) error {
	parts, err := readUndo(dir)
	if err != nil || len(parts) == 0 {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, ledgerFile), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("take back a checkpoint: %w", err)
	}
	defer f.Close()
	now := make([]byte, len(parts[0].bytes))
	if _, err := f.ReadAt(now, 0); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("take back a checkpoint: %w", err)
	}
	if !damaged && !bytes.Equal(now, parts[0].bytes) {
		// Complete, but for the headers' sync perhaps: what failed to be synced is
		// written by no later sync, so it is written again.
		parts = []part{{0, now}}
	}
	// The headers come last: until they are back, a start finds them changed or
	// this file, and tries again.
	for i := len(parts) - 1; i >= 0; i-- {
		if i == 0 {
			err = f.Sync()
		}
		if err == nil {
			_, err = f.WriteAt(parts[i].bytes, parts[i].at)
		}
		if err != nil {
			return fmt.Errorf("take back a checkpoint: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("take back a checkpoint: %w", err)
	}
	return nil
}

// writeDurably writes a file whole or not at all.
func writeDurably(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(path + ".new")
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
