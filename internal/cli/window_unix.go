//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// windowWidth gives the terminal's width in cells; ok is false when f is not a
// terminal.
func windowWidth(f *os.File) (n int, ok bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return int(size.Col), true
}
