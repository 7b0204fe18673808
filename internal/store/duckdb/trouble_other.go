//go:build !unix

package duckdb

import "syscall"

var diskErrors = [...]error{syscall.ENOSPC, syscall.EIO}
