package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
)

// Switch is a setting that is true or false and nothing else: "yes", "1" and
// "TRUE" are mistakes worth hearing about.
type Switch bool

// Decode reads a flag's or a layer's value; a bare flag is true.
func (s *Switch) Decode(ctx *kong.DecodeContext) error {
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		*s = true
		return nil
	}
	switch v := fmt.Sprint(ctx.Scan.Pop().Value); v {
	case "true":
		*s = true
	case "false":
		*s = false
	default:
		return fmt.Errorf("must be true or false, got %q", v)
	}
	return nil
}

// IsBool lets the flag stand alone.
func (s *Switch) IsBool() bool { return true }

// Size is a number of bytes.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"GB", 1_000_000_000},
	{"MB", 1_000_000},
	{"KB", 1_000},
	{"B", 1},
	{"", 1},
}

// UnmarshalText reads a whole number with an optional unit: "512MiB", "1GB".
func (s *Size) UnmarshalText(b []byte) error {
	text := strings.TrimSpace(string(b))
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return errors.New("must be a size such as 512MiB or 1GB")
}
