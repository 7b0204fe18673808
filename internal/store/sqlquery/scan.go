package sqlquery

import (
	"fmt"
	"math/big"
	"time"

	"github.com/costprof/costprof/internal/money"
)

// totalScanner reads the engine's 128-bit sum; the sum of no rows is 0.
type totalScanner struct{ t *money.Total }

func (s totalScanner) Scan(v any) (err error) {
	switch v := v.(type) {
	case nil:
		*s.t = money.Total{}
	case *big.Int:
		*s.t, err = money.TotalFromBig(v)
	case int64:
		*s.t = money.TotalOf(money.USD(v))
	case string:
		n, ok := new(big.Int).SetString(v, 10)
		if !ok {
			return fmt.Errorf("sum arrived as %q", v)
		}
		*s.t, err = money.TotalFromBig(n)
	default:
		err = fmt.Errorf("sum arrived as %T", v)
	}
	return err
}

// intScanner reads a BIGINT; NULL, the sum of no rows, is 0.
type intScanner struct{ n *int64 }

func (s intScanner) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.n = 0
	case int64:
		*s.n = v
	case int32:
		*s.n = int64(v)
	default:
		return fmt.Errorf("count arrived as %T", v)
	}
	return nil
}

// textScanner reads a text; NULL is "".
type textScanner struct{ s *string }

func (s textScanner) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.s = ""
	case string:
		*s.s = v
	case []byte:
		*s.s = string(v)
	default:
		return fmt.Errorf("text arrived as %T", v)
	}
	return nil
}

// timeScanner reads a UTC timestamp, or microseconds since 1970; NULL is the zero
// time.
type timeScanner struct{ t *time.Time }

func (s timeScanner) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*s.t = time.Time{}
	case time.Time:
		*s.t = v.UTC()
	case int64:
		*s.t = time.UnixMicro(v).UTC()
	default:
		return fmt.Errorf("time arrived as %T", v)
	}
	return nil
}
