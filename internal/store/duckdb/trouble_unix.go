//go:build unix

package duckdb

import "syscall"

var diskErrors = [...]error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.EFBIG}
