//go:build linux

// Package faultfs is a file system for tests that fails when it is told to and
// knows what a loss of power would leave: it passes everything on to a folder,
// and keeps a second folder with what was synced. It knows nothing of the
// program that uses it.
package faultfs

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Fault is what goes wrong.
type Fault struct {
	// At is the number of the first operation that fails, from 1; 0 fails none.
	At int64
	// Errno is what it fails with.
	Errno syscall.Errno
	// Forever makes every later one fail too.
	Forever bool
	// Kind limits it to one kind of operation: write, sync, truncate, create,
	// rename, remove, mkdir; "" is any. At then counts those alone.
	Kind string
	// Torn lets half of a failing write arrive.
	Torn bool
}

// FS is a mounted file system.
type FS struct {
	live, synced string
	server       *fuse.Server

	mu    sync.Mutex
	fault Fault
	count map[string]int64
	hits  int
	last  string
	dirty map[string][]extent // by path relative to the folder, in order
}

// extent is what was written and not synced yet.
type extent struct {
	off, n int64
	size   int64 // of the file after a truncation; n is 0
}

// Mount shows a new folder below dir at mnt. The folders live and synced below
// dir hold what was written and what was synced.
func Mount(dir, mnt string) (*FS, error) {
	f := &FS{live: filepath.Join(dir, "live"), synced: filepath.Join(dir, "synced"), count: map[string]int64{}, dirty: map[string][]extent{}}
	for _, d := range []string{f.live, f.synced, mnt} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	root := &fs.LoopbackRoot{Path: f.live}
	root.NewNode = func(*fs.LoopbackRoot, *fs.Inode, string, *syscall.Stat_t) fs.InodeEmbedder {
		return &node{LoopbackNode: fs.LoopbackNode{RootData: root}, f: f}
	}
	top := &node{LoopbackNode: fs.LoopbackNode{RootData: root}, f: f}
	root.RootNode = top
	var err error
	f.server, err = fs.Mount(mnt, top, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "faults", Name: "faults", MaxWrite: 128 << 10}})
	if err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	return f, nil
}

// Unmount ends it; a process that still uses it gets errors.
func (f *FS) Unmount() error {
	err := f.server.Unmount()
	if err == nil {
		f.server.Wait()
	}
	return err
}

// Set starts a fault and counts anew.
func (f *FS) Set(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault, f.count, f.hits, f.last = fault, map[string]int64{}, 0, ""
}

// Counts says how many operations of each kind there were since Set; "" is all.
func (f *FS) Counts() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := map[string]int64{}
	for k, n := range f.count {
		out[k] = n
	}
	return out
}

// Hit says how often the fault struck, and where first.
func (f *FS) Hit() (times int, where string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits, f.last
}

// step counts an operation and says whether it fails. f.mu is held.
func (f *FS) step(kind, path string) syscall.Errno {
	f.count[kind]++
	f.count[""]++
	n := f.count[f.fault.Kind]
	if f.fault.Kind != "" && f.fault.Kind != kind {
		return 0
	}
	if f.fault.At == 0 || n < f.fault.At || n > f.fault.At && !f.fault.Forever {
		return 0
	}
	if f.hits++; f.last == "" {
		f.last = kind + " " + path
	}
	return f.fault.Errno
}

// PowerCut writes to the folder `to` what a loss of power at this moment could
// leave: what was synced, and of what was not a part that r chooses. Names of
// files count as durable.
func (f *FS) PowerCut(r *rand.Rand, to string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := os.CopyFS(to, os.DirFS(f.synced)); err != nil {
		return err
	}
	for path, extents := range f.dirty {
		keep := r.IntN(len(extents) + 1)
		for i, e := range extents {
			switch {
			case i < keep || r.IntN(8) == 0:
			case i == keep && e.n > 0:
				e.n = r.Int64N(e.n + 1)
			default:
				continue
			}
			if err := transfer(filepath.Join(to, path), filepath.Join(f.live, path), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// transfer copies what an extent covers from one file to another.
func transfer(to, from string, e extent) error {
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if e.n == 0 {
		return out.Truncate(e.size)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(io.NewOffsetWriter(out, e.off), io.NewSectionReader(in, e.off, e.n))
	return err
}

// node is a file or folder.
type node struct {
	fs.LoopbackNode
	f *FS
}

var (
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
)

// handle hides that the file below could be used without us.
type handle struct{ *fs.LoopbackFile }

// PassthroughFd implements fs.FilePassthroughFder.
func (handle) PassthroughFd() (int, bool) { return 0, false }

func wrap(fh fs.FileHandle) fs.FileHandle {
	if file, ok := fh.(*fs.LoopbackFile); ok {
		return handle{file}
	}
	return fh
}

func (n *node) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_TRUNC != 0 {
		n.f.mu.Lock()
		defer n.f.mu.Unlock()
		path := n.path()
		if e := n.f.step("truncate", path); e != 0 {
			return nil, 0, e
		}
		n.f.dirty[path] = append(n.f.dirty[path], extent{})
	}
	fh, fuseFlags, errno := n.LoopbackNode.Open(ctx, flags)
	return wrap(fh), fuseFlags, errno
}

func (n *node) path() string { return n.Path(nil) }

func (n *node) Write(ctx context.Context, fh fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	path := n.path()
	e := n.f.step("write", fmt.Sprint(path, " ", off, "+", len(data)))
	if e != 0 && !n.f.fault.Torn {
		return 0, e
	}
	if e != 0 {
		data = data[:len(data)/2]
	}
	done, errno := fh.(fs.FileWriter).Write(ctx, data, off)
	if done > 0 {
		n.f.dirty[path] = append(n.f.dirty[path], extent{off: off, n: int64(done)})
	}
	if e != 0 {
		return 0, e
	}
	return done, errno
}

func (n *node) Fsync(_ context.Context, _ fs.FileHandle, _ uint32) syscall.Errno {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	path := n.path()
	if e := n.f.step("sync", path); e != 0 {
		// Linux forgets pages that it could not write: no later sync tries them
		// again, and each succeeds.
		delete(n.f.dirty, path)
		return e
	}
	for _, e := range n.f.dirty[path] {
		if err := transfer(filepath.Join(n.f.synced, path), filepath.Join(n.f.live, path), e); err != nil {
			return fs.ToErrno(err)
		}
	}
	delete(n.f.dirty, path)
	return 0
}

func (n *node) Setattr(ctx context.Context, fh fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	size, sized := in.GetSize()
	path := n.path()
	if sized {
		if e := n.f.step("truncate", path); e != 0 {
			return e
		}
		n.f.dirty[path] = append(n.f.dirty[path], extent{size: int64(size)})
	}
	return n.LoopbackNode.Setattr(ctx, fh, in, out)
}

func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	path := filepath.Join(n.path(), name)
	if e := n.f.step("create", path); e != 0 {
		return nil, nil, 0, e
	}
	if err := os.WriteFile(filepath.Join(n.f.synced, path), nil, 0o600); err != nil {
		return nil, nil, 0, fs.ToErrno(err)
	}
	inode, fh, fuseFlags, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	return inode, wrap(fh), fuseFlags, errno
}

func (n *node) Rename(ctx context.Context, name string, to fs.InodeEmbedder, toName string, flags uint32) syscall.Errno {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	old, now := filepath.Join(n.path(), name), filepath.Join(to.EmbeddedInode().Path(nil), toName)
	if e := n.f.step("rename", old); e != 0 {
		return e
	}
	if err := os.Rename(filepath.Join(n.f.synced, old), filepath.Join(n.f.synced, now)); err != nil {
		return fs.ToErrno(err)
	}
	delete(n.f.dirty, now)
	if d, ok := n.f.dirty[old]; ok {
		n.f.dirty[now] = d
		delete(n.f.dirty, old)
	}
	return n.LoopbackNode.Rename(ctx, name, to, toName, flags)
}

func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	path := filepath.Join(n.path(), name)
	if e := n.f.step("remove", path); e != 0 {
		return e
	}
	delete(n.f.dirty, path)
	_ = os.Remove(filepath.Join(n.f.synced, path))
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	path := filepath.Join(n.path(), name)
	if e := n.f.step("mkdir", path); e != 0 {
		return nil, e
	}
	_ = os.Mkdir(filepath.Join(n.f.synced, path), 0o700)
	return n.LoopbackNode.Mkdir(ctx, name, mode, out)
}

func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	n.f.mu.Lock()
	defer n.f.mu.Unlock()
	path := filepath.Join(n.path(), name)
	if e := n.f.step("remove", path); e != 0 {
		return e
	}
	_ = os.Remove(filepath.Join(n.f.synced, path))
	return n.LoopbackNode.Rmdir(ctx, name)
}

// CopyFileRange makes copies go through Write, which counts.
func (n *node) CopyFileRange(context.Context, fs.FileHandle, uint64, *fs.Inode, fs.FileHandle, uint64, uint64, uint64) (uint32, syscall.Errno) {
	return 0, syscall.ENOTSUP
}
