package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drover/api"
)

// The programs of the agent stand in bin/, named by hash. bin/current is a link
// to the one to run, bin/previous to the one that is known to be good. While an
// update is under way, update.json says so, and Guard, run by the good binary
// before each start, decides whether to put it back.

const (
	binaryPrefix = "drover-agent-"
	maxAttempts  = 3 // starts of a new binary without a welcome
)

// updateRecord is update.json.
type updateRecord struct {
	Trying   bool        `json:"trying"`
	Old      string      `json:"old,omitempty"` // SHA-256 of the good binary
	New      string      `json:"new,omitempty"` // and of the one being tried
	Version  string      `json:"version,omitempty"`
	Deadline time.Time   `json:"deadline,omitzero"`
	Attempts int         `json:"attempts,omitempty"`
	Bad      []badBinary `json:"bad,omitempty"`
	// PutBack is what the server is told, until another program is good.
	PutBack *api.PutBack `json:"putBack,omitempty"`
}

// badBinary is one that was put back.
type badBinary struct {
	SHA256 string    `json:"sha256"`
	Why    string    `json:"why"`
	Count  int       `json:"count"`
	Until  time.Time `json:"until,omitzero"` // it may be tried again then; never, if zero
}

// bins is the part of the state that Guard works on, without the rest of it:
// the agent that is being judged has the state open.
type bins struct{ dir string }

func (b bins) record() (*updateRecord, error) {
	r := new(updateRecord)
	_, err := readJSON(filepath.Join(b.dir, "update.json"), r)
	return r, err
}

func (b bins) write(r *updateRecord) error {
	return writeJSON(filepath.Join(b.dir, "update.json"), r)
}

func binaryName(sha256 string) string { return binaryPrefix + sha256[:min(16, len(sha256))] }

func (b bins) path(name string) string { return filepath.Join(b.dir, "bin", name) }

// Current is the path that runs the agent.
func Current(dir string) string { return bins{dir}.path("current") }

func previous(dir string) string { return bins{dir}.path("previous") }

// AddBinary copies a program into the state folder and makes it the current
// and the good one. It returns the program's SHA-256.
func AddBinary(dir, program string) (string, error) {
	b := bins{dir}
	if err := makeDirs(dir); err != nil {
		return "", err
	}
	hash, err := HashFile(program)
	if err != nil {
		return "", err
	}
	if err := b.add(program, hash); err != nil {
		return "", err
	}
	for _, link := range []string{"current", "previous"} {
		if err := symlink(binaryName(hash), b.path(link)); err != nil {
			return "", fmt.Errorf("cannot install the agent: %w", err)
		}
	}
	r, err := b.record()
	if err != nil || r.Trying || len(r.Bad) > 0 || r.PutBack != nil {
		// Somebody installed by hand: what was judged before does not count.
		if err := b.write(&updateRecord{}); err != nil {
			return "", err
		}
	}
	return hash, b.collect(hash)
}

// add copies program to its place, unless it is there.
func (b bins) add(program, hash string) error {
	to := b.path(binaryName(hash))
	if have, err := HashFile(to); err == nil && have == hash {
		return os.Chmod(to, 0o755)
	}
	in, err := os.Open(program)
	if err != nil {
		return fmt.Errorf("cannot install the agent: %w", err)
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), tempPrefix+"*")
	if err != nil {
		return fmt.Errorf("cannot install the agent: %w", err)
	}
	defer os.Remove(out.Name()) // fails once it was renamed
	h := newHash()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	if err == nil && sum(h) != hash {
		err = fmt.Errorf("%s changed while it was copied", program)
	}
	if err == nil {
		err = out.Chmod(0o755)
	}
	if err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err == nil {
		err = syncDir(filepath.Dir(to))
	}
	if err != nil {
		return fmt.Errorf("cannot install the agent: %w", err)
	}
	return nil
}

// collect removes programs other than those named.
func (b bins) collect(keep ...string) error {
	entries, err := os.ReadDir(filepath.Join(b.dir, "bin"))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		old := strings.HasPrefix(e.Name(), binaryPrefix)
		for _, k := range keep {
			old = old && e.Name() != binaryName(k)
		}
		if old {
			errs = append(errs, os.Remove(b.path(e.Name())))
		}
	}
	return errors.Join(errs...)
}

// try makes hash the current program, to be confirmed before the deadline.
// The record comes first: from then on a start is counted, whichever runs.
func (b bins) try(old, hash, version string, deadline time.Time) error {
	r, err := b.record()
	if err != nil {
		return err
	}
	if _, err := os.Stat(b.path(binaryName(old))); err != nil {
		return fmt.Errorf("cannot update the agent: the running one is not in %s: %w", filepath.Join(b.dir, "bin"), err)
	}
	if err := symlink(binaryName(old), b.path("previous")); err != nil {
		return err
	}
	r.Trying, r.Old, r.New, r.Version, r.Deadline, r.Attempts = true, old, hash, version, deadline, 0
	if err := b.write(r); err != nil {
		return err
	}
	return symlink(binaryName(hash), b.path("current"))
}

// confirm makes the program that is being tried the good one.
func (b bins) confirm(hash string) error {
	r, err := b.record()
	if err != nil || !r.Trying || r.New != hash {
		return err
	}
	if err := symlink(binaryName(hash), b.path("previous")); err != nil {
		return err
	}
	old := r.Old
	if err := b.write(&updateRecord{Bad: r.Bad}); err != nil {
		return err
	}
	// The one before stays beside it.
	return b.collect(hash, old)
}

// putBack makes the old program current again and remembers the new one.
func (b bins) putBack(why string, forGood bool, now time.Time) error {
	r, err := b.record()
	if err != nil || !r.Trying {
		return err
	}
	if err := symlink(binaryName(r.Old), b.path("current")); err != nil {
		return err
	}
	bad := badBinary{SHA256: r.New, Why: why, Count: 1}
	var others []badBinary
	for _, o := range r.Bad {
		if o.SHA256 == r.New {
			bad.Count = o.Count + 1
		} else {
			others = append(others, o)
		}
	}
	if !forGood && bad.Count < 2 {
		// Perhaps only the server was away: once more, later.
		bad.Until = now.Add(time.Hour)
	}
	if len(others) > 20 {
		others = others[len(others)-20:]
	}
	return b.write(&updateRecord{Bad: append(others, bad), PutBack: &api.PutBack{Version: r.Version, SHA256: r.New, Why: why, Time: now.UTC().Truncate(time.Second)}})
}

func (r *updateRecord) bad(hash string, now time.Time) *badBinary {
	for i := range r.Bad {
		if b := &r.Bad[i]; b.SHA256 == hash && (b.Until.IsZero() || now.Before(b.Until)) {
			return b
		}
	}
	return nil
}

// Guard is run by the good binary before each start of the current one. While
// an update is tried it counts the starts, and puts the old program back when
// there were too many, or the deadline is over. With expiredOnly it counts
// nothing. It returns what it did, in words, or "".
func Guard(dir string, now time.Time, expiredOnly bool) (string, error) {
	b := bins{dir}
	r, err := b.record()
	if err != nil {
		// Without a record nothing can be judged: run what is known to be good.
		target, linkErr := os.Readlink(b.path("previous"))
		if linkErr != nil {
			return "", err
		}
		if err := symlink(target, b.path("current")); err != nil {
			return "", err
		}
		return "update.json could not be read; the known good agent is put back", b.write(&updateRecord{})
	}
	if !r.Trying {
		return "", nil
	}
	switch {
	case now.After(r.Deadline):
		return fmt.Sprintf("agent %s (%s) did not reach a server in time; the one before is put back", r.Version, short(r.New)), b.putBack("it did not reach a server in time", false, now)
	case expiredOnly:
		return "", nil
	case r.Attempts >= maxAttempts:
		return fmt.Sprintf("agent %s (%s) ended %d times without reaching a server; the one before is put back", r.Version, short(r.New), r.Attempts),
			b.putBack("it ended without reaching a server", true, now)
	}
	r.Attempts++
	return fmt.Sprintf("start %d of agent %s (%s)", r.Attempts, r.Version, short(r.New)), b.write(r)
}

func short(hash string) string { return hash[:min(12, len(hash))] }

// HashFile is the SHA-256 of a file.
func HashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
