package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"drover/api"
)

// DefaultDir is where an agent keeps its state.
const DefaultDir = "/var/lib/drover-agent"

// Identity is what a host is in its fleet. It is one file, so that key and
// certificate can never be from two different requests.
type Identity struct {
	Host        string   `json:"host"`
	Fleet       string   `json:"fleet"`
	Server      string   `json:"server,omitempty"` // URL it joined by
	Key         []byte   `json:"key"`              // PEM
	Certificate []byte   `json:"certificate"`      // PEM
	CA          []byte   `json:"ca"`               // PEM
	SigningKey  []byte   `json:"signingKey,omitempty"`
	Link        []string `json:"link,omitempty"`
}

// State is the agent's folder. One process has it open at a time.
type State struct {
	dir   string
	lock  *os.File
	blobs *Blobs
	spool *spool
	jobs  *jobLog

	mu         sync.Mutex
	identity   *Identity // nil: the host has not joined
	assignment *api.AssignmentSpec
}

// OpenState opens or makes the folder and cleans up after a crash.
func OpenState(dir string) (*State, error) {
	s := &State{dir: dir}
	if err := makeDirs(dir); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// makeDirs makes the folders. Programs in bin/ are started as other users too,
// so the way there is open; everything else is the agent's alone.
func makeDirs(dir string) error {
	for _, d := range []struct {
		name string
		mode fs.FileMode
	}{{"", 0o711}, {"bin", 0o755}, {"blobs", 0o700}, {"spool", 0o700}} {
		path := filepath.Join(dir, d.name)
		err := os.MkdirAll(path, d.mode)
		if err == nil {
			err = os.Chmod(path, d.mode) // whatever the umask
		}
		if err != nil {
			return fmt.Errorf("cannot open the agent's state: %w", err)
		}
	}
	return nil
}

func (s *State) open() error {
	lock, err := os.OpenFile(s.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the agent's state: %w", err)
	}
	s.lock = lock
	// A child that the agent before was just starting when it was killed holds
	// the lock for a moment more.
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for try := 0; errors.Is(err, syscall.EWOULDBLOCK) && try < 20; try++ {
		time.Sleep(50 * time.Millisecond)
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return api.Errorf(api.CodeConflict, "cannot open the agent's state in %s: another agent runs with it", s.dir).
			WithRemedy("see `systemctl status drover-agent`, or choose another folder with --state")
	}
	for _, d := range []string{s.dir, s.path("blobs"), s.path("spool"), s.path("bin")} {
		if err := sweep(d); err != nil {
			return fmt.Errorf("cannot clean up the agent's state: %w", err)
		}
	}
	identity := new(Identity)
	found, err := readJSON(s.path("identity.json"), identity)
	if err != nil {
		return err
	}
	if found {
		s.identity = identity
	}
	assignment := new(api.AssignmentSpec)
	if found, err = readJSON(s.path("assignment.json"), assignment); err != nil {
		return err
	}
	if found {
		s.assignment = assignment
	}
	s.blobs = &Blobs{dir: s.path("blobs"), good: make(map[string]bool), pins: make(map[string]int)}
	if s.spool, err = openSpool(s.path("spool"), spoolLimits{}); err != nil {
		return err
	}
	s.jobs, err = openJobLog(s.path("jobs.log"))
	return err
}

// Close lets another process open the folder.
func (s *State) Close() error {
	if s.jobs != nil {
		s.jobs.close()
	}
	if s.lock != nil {
		return s.lock.Close()
	}
	return nil
}

func (s *State) path(name string) string { return filepath.Join(s.dir, name) }

// Dir is the folder.
func (s *State) Dir() string { return s.dir }

// Blobs are the files that assignments need.
func (s *State) Blobs() *Blobs { return s.blobs }

// Identity is nil before the host joined.
func (s *State) Identity() *Identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.identity
}

// SetIdentity makes the host somebody. In another fleet than before, what the
// old one wanted and was owed is dropped.
func (s *State) SetIdentity(id *Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.identity != nil && (s.identity.Fleet != id.Fleet || s.identity.Host != id.Host) {
		if err := os.Remove(s.path("assignment.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("cannot drop the old assignment: %w", err)
		}
		s.assignment = nil
		if err := s.spool.clear(); err != nil {
			return err
		}
	}
	if err := writeJSON(s.path("identity.json"), id); err != nil {
		return err
	}
	s.identity = id
	return nil
}

// Assignment is what the host should be; nil if nobody said.
func (s *State) Assignment() *api.AssignmentSpec {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.assignment
}

// keep writes a as the current assignment. Its blobs are there already.
func (s *State) keep(a *api.AssignmentSpec) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := writeJSON(s.path("assignment.json"), a); err != nil {
		return err
	}
	s.assignment = a
	return nil
}

// checkAssignment refuses one that was damaged on its way.
func checkAssignment(a *api.AssignmentSpec) error {
	for _, s := range a.Sections {
		if sum := sha256.Sum256(s.Body); s.Hash != hex.EncodeToString(sum[:]) {
			return api.Errorf(api.CodeInvalid, "cannot take the assignment of commit %s: the body of section %s does not have its hash", a.Commit, s.Room)
		}
		for _, b := range s.Blobs {
			if !validHash(b) {
				return api.Errorf(api.CodeInvalid, "cannot take the assignment of commit %s: section %s names blob %q", a.Commit, s.Room, b)
			}
		}
	}
	return nil
}

// needs lists the blobs of a.
func needs(a *api.AssignmentSpec) []string {
	if a == nil {
		return nil
	}
	var all []string
	for _, s := range a.Sections {
		all = append(all, s.Blobs...)
	}
	return all
}
