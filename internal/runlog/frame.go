package runlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// A file is a row of frames: one byte type, three zero, the payload's length
// and its CRC-32C, both as little-endian 32 bits, then the payload. What a
// crash tore, or somebody changed, ends the file there.
const (
	headerSize = 12
	maxFrame   = 64 << 20 // bytes of a payload
	maxPlain   = 96 << 20 // bytes of a payload before it was compressed
)

// Types of frames.
const (
	frameRecord  = 'T' // in a table: length of the JSON, the JSON, the rest
	frameStart   = 'S' // in a run's file, as all below: startFrame in JSON
	frameOutput  = 'O' // pieces of output, compressed
	frameDone    = 'D' // doneFrames in JSON, compressed
	framePlay    = 'P' // a list of a play's events in JSON, compressed
	frameReport  = 'R' // a host's name and its report in JSON, compressed
	frameEnd     = 'E' // endFrame in JSON
	frameResults = 'H' // every host's RunResult in JSON, compressed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendFrame(b []byte, typ byte, payload []byte) []byte {
	var h [headerSize]byte
	h[0] = typ
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(h[8:], sum(typ, payload))
	return append(append(b, h[:]...), payload...)
}

func sum(typ byte, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte{typ}, castagnoli), castagnoli, payload)
}

// errTorn says that there is no whole frame where one should be.
var errTorn = errors.New("the frame is not whole")

// readFrame reads the frame at off; io.EOF says that the file ends there.
func readFrame(f io.ReaderAt, off, size int64) (typ byte, payload []byte, next int64, err error) {
	if off >= size {
		return 0, nil, off, io.EOF
	}
	var h [headerSize]byte
	if off+headerSize > size {
		return 0, nil, off, errTorn
	}
	if _, err := f.ReadAt(h[:], off); err != nil {
		return 0, nil, off, torn(err)
	}
	n := int64(binary.LittleEndian.Uint32(h[4:]))
	if n > maxFrame || off+headerSize+n > size || h[1]|h[2]|h[3] != 0 {
		return 0, nil, off, errTorn
	}
	payload = make([]byte, n)
	if _, err := f.ReadAt(payload, off+headerSize); err != nil {
		return 0, nil, off, torn(err)
	}
	if sum(h[0], payload) != binary.LittleEndian.Uint32(h[8:]) {
		return 0, nil, off, errTorn
	}
	return h[0], payload, off + headerSize + n, nil
}

func torn(err error) error {
	if errors.Is(err, io.EOF) {
		return errTorn
	}
	return err
}

// frames hands every whole frame of a file to fn, and says where they end.
func frames(f io.ReaderAt, off, size int64, fn func(typ byte, payload []byte, off int64) error) (end int64, err error) {
	for {
		typ, payload, next, err := readFrame(f, off, size)
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return off, nil
		}
		if err != nil {
			return off, err
		}
		if err := fn(typ, payload, off); err != nil {
			return off, err
		}
		off = next
	}
}

// codec compresses. It may be used by several goroutines.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxPlain))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

func (c *codec) pack(b []byte) []byte { return c.enc.EncodeAll(b, nil) }

func (c *codec) unpack(b []byte) ([]byte, error) {
	out, err := c.dec.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot unpack what was kept of a run: %w", err)
	}
	return out, nil
}

// piece is some output of one host.
type piece struct {
	host   string
	stderr bool
	data   []byte
}

func appendPiece(b []byte, p piece) []byte {
	b = binary.AppendUvarint(b, uint64(len(p.host)))
	b = append(b, p.host...)
	if p.stderr {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(p.data)))
	return append(b, p.data...)
}

// nextPiece takes one piece off b.
func nextPiece(b []byte) (p piece, rest []byte, ok bool) {
	host, b, ok := nextBytes(b)
	if !ok || len(b) == 0 {
		return p, nil, false
	}
	p.host, p.stderr = string(host), b[0] != 0
	p.data, b, ok = nextBytes(b[1:])
	return p, b, ok
}

func nextBytes(b []byte) (out, rest []byte, ok bool) {
	n, l := binary.Uvarint(b)
	if l <= 0 || n > uint64(len(b)-l) {
		return nil, nil, false
	}
	return b[l : l+int(n)], b[l+int(n):], true
}

// syncDir makes names in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
