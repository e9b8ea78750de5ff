package observehost

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"drover/api"
)

const (
	batchBytes = 1 << 20          // of a request, before compression
	firstWait  = time.Second      // after the first refusal
	mostWait   = 60 * time.Second // after many
)

// writeFunc stores a request on the server, as link.Writer says.
type writeFunc func(ctx context.Context, body []byte) error

// shipper sends what is in the log, oldest first, and notes what was stored.
type shipper struct {
	log    *slog.Logger
	wal    *walLog
	cursor *cursor
	write  writeFunc
	beside *besides

	at     position // all before it is stored by the server
	saved  position // what the cursor's file says
	reader *segmentReader
	most   int // records in a batch; 0: as many as fit
	batch  batch
	enc    encoder

	cursorFails bool

	mu     sync.Mutex
	oldest int64 // time of the oldest sample of the request under way; 0: there is none
	sent   uint64
}

// batch is what one request holds.
type batch struct {
	number  uint64
	samples []sample
	bytes   int
	records int
	end     position // how far was read
}

func (b *batch) reset(at position) {
	if cap(b.samples) > 8*recordSamples {
		b.samples = nil
	}
	b.number++
	b.samples, b.bytes, b.records, b.end = b.samples[:0], 0, 0, at
}

// run ships until ctx ends.
func (s *shipper) run(ctx context.Context) {
	defer s.closeReader()
	for ctx.Err() == nil {
		s.fill()
		if s.batch.records == 0 {
			s.advance(s.batch.end)
			if s.sendBeside(ctx) {
				continue
			}
			select {
			case <-s.wal.more:
			case <-ctx.Done():
			}
			continue
		}
		s.ship(ctx)
	}
}

// ship sends the batch.
func (s *shipper) ship(ctx context.Context) {
	b := &s.batch
	s.waiting(b.samples[0].time)
	defer s.waiting(0)
	n := len(b.samples)
	switch err := s.send(ctx, s.enc.request(b.samples)); {
	case err == nil:
		s.mu.Lock()
		s.sent += uint64(n)
		s.mu.Unlock()
		s.most *= 2
		if s.most > 10_000 {
			s.most = 0
		}
		s.advance(b.end)
	case ctx.Err() != nil:
	case b.records > 1:
		// One bad sample must not take its neighbours with it.
		s.most = b.records / 2
		s.closeReader()
	default:
		s.refused(n, err)
		s.advance(b.end)
	}
}

func (s *shipper) refused(n int, err error) {
	s.log.Error("the server refuses samples for ever: they are dropped", "samples", n, "error", err)
	s.wal.lost(func(d *drops) { d.refused += uint64(n) })
}

func (s *shipper) waiting(since int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oldest = since
}

// send tries until the body is stored. It returns an error when it never will
// be in this form, or when ctx ended.
func (s *shipper) send(ctx context.Context, body []byte) error {
	wait, said := firstWait, ""
	for {
		err := s.write(ctx, body)
		if err == nil {
			if said != "" {
				s.log.Info("metrics are taken again")
			}
			return nil
		}
		if code := api.CodeOf(err); ctx.Err() != nil || code == api.CodeInvalid || code == api.CodeTooLarge {
			return err
		}
		if text := err.Error(); text != said && wait >= 4*firstWait {
			s.log.Warn("metrics wait on this host", "error", err)
			said = text
		}
		timer := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		}
		wait = min(2*wait, mostWait)
	}
}

// sendBeside sends what the disk did not take; false when there is nothing.
func (s *shipper) sendBeside(ctx context.Context) bool {
	x := s.beside.first()
	if x == nil {
		return false
	}
	s.waiting(x.time)
	defer s.waiting(0)
	switch err := s.send(ctx, x.body); {
	case err == nil:
		s.mu.Lock()
		s.sent += uint64(x.samples)
		s.mu.Unlock()
	case ctx.Err() != nil:
		return true
	default:
		s.refused(x.samples, err)
	}
	s.beside.remove(x)
	return true
}

// fill makes the next batch from the log. It stays within a segment: the same
// number may be another series in the next.
func (s *shipper) fill() {
	b := &s.batch
	b.reset(s.at)
	for {
		// A segment that is not written any more ends where its file ends. Which
		// one is written is asked before reading.
		first, active := s.wal.state()
		n := b.end.Segment
		if n < first || n > active { // dropped; or the log is another than the cursor's
			b.end = position{first, 0}
			n = first
		}
		if s.reader == nil || s.reader.segment != n {
			s.closeReader()
			r, err := s.wal.open(n)
			if err != nil && n == active {
				s.log.Error("cannot read the log of metrics", "error", err)
				return
			}
			if err != nil {
				s.damaged(n, err)
				b.end = position{n + 1, 0}
				continue
			}
			s.reader = r
		}
		s.take(b)
		if b.records > 0 || n == active {
			return
		}
		b.end = position{n + 1, 0}
	}
}

// take reads into b until it is full or the segment has no more now.
func (s *shipper) take(b *batch) {
	from := b.end
	for b.bytes < batchBytes && (s.most == 0 || b.records < s.most) {
		list, end, err := s.reader.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			if !s.reader.damaged {
				s.reader.damaged = true
				s.damaged(s.reader.segment, err)
			}
			return
		}
		if !from.before(end) {
			continue // stored already
		}
		b.end = end
		if len(list) == 0 {
			continue
		}
		b.records++
		b.samples = append(b.samples, list...)
		b.bytes += len(list) * sampleBytes
		for _, x := range list {
			if x.series.batch != b.number {
				x.series.batch = b.number
				b.bytes += len(x.series.labels)
			}
		}
	}
}

func (s *shipper) damaged(segment int, err error) {
	s.log.Warn("a segment of the log of metrics is damaged; what follows in it is lost", "segment", segment, "error", err)
	s.wal.lost(func(d *drops) { d.damaged++ })
}

// advance notes that all before p is stored.
func (s *shipper) advance(p position) {
	s.at = p
	if p == s.saved {
		return
	}
	err := s.cursor.save(p)
	if err != nil && !s.cursorFails {
		s.log.Error("cannot keep how far metrics were sent; after a restart some are sent again, which does no harm", "error", err)
	}
	s.cursorFails = err != nil
	if err == nil {
		s.saved = p
		s.wal.acknowledged(p)
	}
}

func (s *shipper) closeReader() {
	if s.reader != nil {
		s.reader.close()
		s.reader = nil
	}
}

// besides are requests in memory, of gathers that the disk did not take: a
// host with a full disk is the one that must be heard.
type besides struct {
	mu   sync.Mutex
	list []*beside
}

type beside struct {
	body    []byte
	samples int
	time    int64
}

// besidesMost is how many gathers wait in memory.
const besidesMost = 40

// add keeps x, and returns what had to go for it.
func (q *besides) add(x *beside) (gone *beside) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) >= besidesMost {
		gone = q.list[0]
		q.list = append(q.list[:0:0], q.list[1:]...)
	}
	q.list = append(q.list, x)
	return gone
}

func (q *besides) first() *beside {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) == 0 {
		return nil
	}
	return q.list[0]
}

func (q *besides) remove(x *beside) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.list) > 0 && q.list[0] == x {
		q.list = q.list[1:]
	}
}
