package retention

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/costprof/costprof/internal/fault"
	"github.com/costprof/costprof/internal/store"
	"github.com/costprof/costprof/internal/usage"
)

const (
	// ErasureName is the name of the runs that erase a person.
	ErasureName = "erasure"
	// keySetting is the key by which the audit log names whom an erasure was about.
	keySetting = "erasure.key"
	eraseLock  = "erasure.work"
)

// erasureInput says what a run is about, and not whom.
type erasureInput struct {
	Project string `json:"project,omitempty"`
	Person  string `json:"person"`
}

// erasureResult is what was found; no events means that it is not known whether
// the erasure was stored.
type erasureResult struct {
	Events *int64 `json:"events,omitempty"`
}

// Erase removes what names a person from stored events, in one commit, and has
// the engine's files written anew in the background: the run it gives is done when
// that is. The audit log has a keyed hash of the id.
func (s *Service) Erase(ctx context.Context, who store.Erasure, actor string) (store.Run, error) {
	if strings.TrimSpace(who.UserID) == "" || utf8.RuneCountInString(who.UserID) > usage.MaxIDLength {
		return store.Run{}, fault.Field("userId", fmt.Sprintf("must have 1 to %d characters", usage.MaxIDLength))
	}
	fresh := make([]byte, sha256.Size)
	_, _ = rand.Read(fresh) // never fails
	key, err := s.Catalog.InitSetting(ctx, keySetting, fresh)
	if err != nil {
		return store.Run{}, fmt.Errorf("read the key of erasures: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(who.UserID))
	in := erasureInput{who.Project, hex.EncodeToString(mac.Sum(nil))}
	id, err := uuid.NewV7()
	if err != nil {
		return store.Run{}, err
	}
	run := store.Run{ID: id.String(), Name: ErasureName, State: "running", Started: s.Now().UTC().Truncate(time.Microsecond)}
	if run.Input, err = json.Marshal(in); err != nil {
		return store.Run{}, err
	}
	erasing := ctx
	if s.Locks != nil {
		// Held until the run has a result: whoever finds it free knows that this server
		// died.
		held, unlock, err := s.Locks.Lock(ctx, lockOf(run))
		if err != nil {
			return store.Run{}, err
		}
		defer unlock()
		erasing = held
	}
	// Both are written down first, so that a server which dies in between still
	// writes the files anew, and nothing is erased of which the audit log is silent.
	entry, err := store.NewAuditEntry(run.Started, actor, "erasure", map[string]string{"person": in.Person, "project": who.Project, "job": run.ID})
	if err != nil {
		return store.Run{}, err
	}
	if err := s.Catalog.AppendAudit(ctx, entry); err != nil {
		return store.Run{}, err
	}
	if err := s.Catalog.PutRun(ctx, run); err != nil {
		return store.Run{}, err
	}
	var result erasureResult
	events, err := s.Ledger.Erase(erasing, who)
	if err == nil {
		result.Events = &events
	}
	defer s.wakeUp()
	var failed error
	if run.Result, failed = json.Marshal(result); failed == nil {
		// Also when who asked is gone: what was done is done.
		failed = s.Catalog.PutRun(context.WithoutCancel(ctx), run)
	}
	return run, cmp.Or(err, failed)
}

// maxErasures is how many unfinished runs are looked through.
const maxErasures = 1000

func lockOf(run store.Run) string { return eraseLock + "/" + run.ID }

// resultless is a run that has no result yet, or says that it has one by now or
// will have none.
func (s *Service) resultless(ctx context.Context, run store.Run) (_ store.Run, waits bool, err error) {
	if s.Locks == nil {
		return run, !run.Started.Before(s.opened) && s.Now().Sub(run.Started) <= every, nil
	}
	ctx, unlock, err := s.Locks.TryLock(ctx, lockOf(run))
	if err != nil || unlock == nil {
		return run, true, err
	}
	defer unlock()
	run, err = s.Catalog.GetRun(ctx, run.ID)
	return run, false, err
}

// Finish writes the engine's files anew for the erasures that wait for it, and
// says whether one is left. One server does it at a time.
func (s *Service) Finish(ctx context.Context) (left bool, err error) {
	runs, err := s.Catalog.ListRuns(ctx, "running", maxErasures)
	if err != nil {
		return false, fmt.Errorf("list unfinished erasures: %w", err)
	}
	var mine []store.Run
	for _, r := range runs {
		if r.Name != ErasureName {
			continue
		}
		waits := false
		if len(r.Result) == 0 {
			if r, waits, err = s.resultless(ctx, r); err != nil {
				return true, fmt.Errorf("look at an unfinished erasure: %w", err)
			}
		}
		if left = left || waits; !waits && r.State == "running" {
			mine = append(mine, r)
		}
	}
	if len(mine) == 0 {
		return left, nil
	}
	if s.Locks != nil {
		held, unlock, err := s.Locks.TryLock(ctx, eraseLock)
		if err != nil || unlock == nil {
			return true, err
		}
		defer unlock()
		ctx = held
	}
	if err := s.Ledger.Compact(ctx); err != nil {
		return true, fmt.Errorf("write the ledger's files anew after an erasure: %w", err)
	}
	for _, r := range mine {
		var result erasureResult
		if len(r.Result) > 0 {
			if err := json.Unmarshal(r.Result, &result); err != nil {
				return true, fmt.Errorf("read the erasure %s: %w", r.ID, err)
			}
		}
		if r.State = "done"; result.Events == nil {
			r.State, r.Error = "failed", "it is not known whether the erasure was stored; ask for it again"
		}
		r.Finished = s.Now().UTC().Truncate(time.Microsecond)
		if err := s.Catalog.PutRun(ctx, r); err != nil {
			return true, err
		}
	}
	return left, nil
}
