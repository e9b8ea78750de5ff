package observehost

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// position is a place in the log: everything before Offset in Segment, and
// every segment before that, is stored by the server.
type position struct {
	Segment int
	Offset  int64
}

func (p position) before(q position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

// cursor is the file that keeps the position. It has two places that are
// written in turn, so that one of them is whole whenever the power fails, and
// writing needs no room on a disk that is full.
type cursor struct {
	file *os.File
	seq  uint64
}

const (
	placeSize  = 40
	placeSpace = 4096 // apart, so that one bad sector does not take both
	cursorMark = "DRVCUR01"
)

// openCursor opens or makes the file; found is false when it tells nothing.
func openCursor(path string) (c *cursor, at position, found bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, position{}, false, fmt.Errorf("cannot open the log of metrics: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(f, 2*placeSpace))
	if err != nil {
		f.Close()
		return nil, position{}, false, fmt.Errorf("cannot read the log of metrics: %w", err)
	}
	c = &cursor{file: f}
	at, c.seq, found = readCursor(data)
	return c, at, found, nil
}

// readCursor is the newer of the places that are whole.
func readCursor(data []byte) (at position, seq uint64, found bool) {
	for _, start := range []int{0, placeSpace} {
		if len(data) < start+placeSize {
			break
		}
		p := data[start : start+placeSize]
		if string(p[:8]) != cursorMark || crc32.ChecksumIEEE(p[:36]) != binary.BigEndian.Uint32(p[36:]) {
			continue
		}
		n := binary.BigEndian.Uint64(p[8:])
		segment, offset := binary.BigEndian.Uint64(p[16:]), binary.BigEndian.Uint64(p[24:])
		if segment > 1<<31 || offset > 1<<62 || found && n < seq {
			continue
		}
		at, seq, found = position{int(segment), int64(offset)}, n, true
	}
	return at, seq, found
}

// save returns when at is on the disk.
func (c *cursor) save(at position) error {
	c.seq++
	var p [placeSize]byte
	copy(p[:], cursorMark)
	binary.BigEndian.PutUint64(p[8:], c.seq)
	binary.BigEndian.PutUint64(p[16:], uint64(at.Segment))
	binary.BigEndian.PutUint64(p[24:], uint64(at.Offset))
	binary.BigEndian.PutUint32(p[36:], crc32.ChecksumIEEE(p[:36]))
	_, err := c.file.WriteAt(p[:], int64(c.seq%2)*placeSpace)
	if err == nil {
		err = c.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("cannot note how far metrics were sent: %w", err)
	}
	return nil
}

func (c *cursor) close() error { return c.file.Close() }
