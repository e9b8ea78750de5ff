// Package journal keeps events: append-only files of JSON lines with a
// sequence without gaps, bounded by size.
package journal

import (
	"context"
	"time"

	"drover/api"
)

// Options of a journal; the zero value is right.
type Options struct {
	MaxBytes     int64 // of all segments; 256 MiB if 0
	SegmentBytes int64 // of one; 8 MiB if 0
	Now          func() time.Time
}

// Filter picks events; the zero value picks all.
type Filter struct {
	Host  string
	Type  string // exact, or a prefix with a final dot or star: "host.", "host.*"
	Actor string
	Since time.Time // at or after
	Until time.Time // before
	After int64     // Seq greater than this
	Limit int       // the newest so many, still oldest first; 0 for 1,000
}

// Journal is an open journal; one process has it open.
type Journal struct{}

// Open opens the journal in dir and repairs what a crash tore.
func Open(dir string, o Options) (*Journal, error) { return nil, nil }

// Append adds events and returns when they are on disk. Seq, and Time where
// zero, are set in the given slice.
func (j *Journal) Append(ctx context.Context, events ...*api.Event) error { return nil }

// List gives the events that match, oldest first.
func (j *Journal) List(ctx context.Context, f Filter) ([]api.Event, error) { return nil, nil }

// Watch delivers the events with Seq > f.After that match, first those that are kept,
// then new ones, until ctx ends or the journal closes. Events dropped by retention
// before they were read are skipped: a gap in Seq tells. f.Limit is not used.
func (j *Journal) Watch(ctx context.Context, f Filter) <-chan api.Event { return nil }

// Last is the Seq of the newest event; 0 for none.
func (j *Journal) Last() int64 { return 0 }

// Close writes what is queued and ends all watches.
func (j *Journal) Close() error { return nil }
