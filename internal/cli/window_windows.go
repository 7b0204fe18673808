package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// windowWidth gives the console's width in cells; ok is false when f is not a
// console.
func windowWidth(f *os.File) (n int, ok bool) {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0, false
	}
	return int(info.Window.Right-info.Window.Left) + 1, true
}
