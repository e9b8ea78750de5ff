package domain

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"
)

// Piece is one event of a stream, encoded and compressed once for all who get
// it. It does not change.
type Piece struct {
	plain  string
	packed []byte // deflate blocks that refer to nothing before them and end at a byte
}

// NewPiece encodes an event as Stream.Send does.
func NewPiece(id, event string, v any) (*Piece, error) {
	text, err := encodeEvent(id, event, v)
	if err != nil {
		return nil, err
	}
	return pieceOf(text), nil
}

// flaters are reused: each takes some hundred KB.
var flaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, packLevel)
	if err != nil {
		panic(err) // the level is a constant
	}
	return w
}}

// packLevel is cheap and takes lists of hosts to less than a tenth.
const packLevel = 4

func pieceOf(text string) *Piece {
	var b bytes.Buffer
	w := flaters.Get().(*flate.Writer)
	defer flaters.Put(w)
	w.Reset(&b)
	// A buffer takes everything.
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return &Piece{plain: text, packed: b.Bytes()}
}

// gzipStream is what a stream must know to end as gzip (RFC 1952) asks for:
// pieces are put together as they are, so that each is compressed once.
type gzipStream struct {
	crc  uint32
	size uint32
}

var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// NewPackedStream is NewStream for pieces; it is compressed where the request
// accepts that. End must follow.
func NewPackedStream(w http.ResponseWriter, r *http.Request) (*Stream, error) {
	if AcceptsGzip(r) {
		return newStream(w, &gzipStream{})
	}
	return newStream(w, nil)
}

// SendPiece writes one event.
func (s *Stream) SendPiece(p *Piece) error {
	if s.gzip == nil {
		return s.raw(p.plain)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gzip.crc = crc32.Update(s.gzip.crc, crc32.IEEETable, []byte(p.plain))
	s.gzip.size += uint32(len(p.plain))
	return s.flush(p.packed)
}

// End ends a compressed stream so that its reader sees that it is whole.
func (s *Stream) End() {
	if s.gzip == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	end := []byte{1, 0, 0, 255, 255} // an empty last block
	end = binary.LittleEndian.AppendUint32(end, s.gzip.crc)
	end = binary.LittleEndian.AppendUint32(end, s.gzip.size)
	_ = s.flush(end) // nobody can be told when the other end has gone
}

func (s *Stream) flush(b []byte) error {
	// Not every writer has deadlines; a test's recorder has none.
	_ = s.ctrl.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.ctrl.Flush()
}

// AcceptsGzip reports whether the other end understands gzip.
func AcceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) != "gzip" {
			continue
		}
		q, given := strings.CutPrefix(strings.TrimSpace(params), "q=")
		v, err := strconv.ParseFloat(q, 64)
		return !given || err == nil && v > 0
	}
	return false
}
