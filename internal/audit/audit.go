// Package audit keeps the trail of mutations: one append-only file of JSON
// lines, each of which holds the hash of the one before.
package audit

import (
	"context"
	"time"

	"drover/api"
)

// Options of a log; the zero value is right.
type Options struct {
	Now func() time.Time
}

// Filter picks entries; the zero value picks all.
type Filter struct {
	Actor, Action, Object string // exact; Action and Object may end in "*"
	Since                 time.Time
	After                 int64 // Seq greater than this
	Limit                 int   // the newest so many, oldest first; 0 for 1,000
}

// Log is an open audit file; one process has it open.
type Log struct{}

// Open opens or makes the file and repairs a torn last line. A broken chain
// is an error that names the line: Verify says more.
func Open(path string, o Options) (*Log, error) { return nil, nil }

// Append adds one entry and returns it, with Seq, Time, Prev and Hash set, when it is on disk.
func (l *Log) Append(ctx context.Context, e api.AuditEntry) (api.AuditEntry, error) { return e, nil }

// List gives the entries that match, oldest first.
func (l *Log) List(ctx context.Context, f Filter) ([]api.AuditEntry, error) { return nil, nil }

// Verify checks the whole chain of the file; the error names the first broken line.
func Verify(path string) error { return nil }

// Close ends the log.
func (l *Log) Close() error { return nil }
