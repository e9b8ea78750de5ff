package playhost

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"drover/api"
	"drover/internal/play/module"
)

// Version of the session protocol.
const Version = 1

// magic precedes the first frame of the host.
const magic = "\n\x00drover-session\x00\n"

// maxNoise is what may come before the magic.
const maxNoise = 256 << 10

// MaxFrame bounds a frame in both directions.
const MaxFrame = 48 << 20

// chunkSize is how much content one data frame carries.
const chunkSize = 128 << 10

// frame is one message; ID says which request or fetch it belongs to, and one
// of the others is set.
type frame struct {
	ID     uint64         `json:"id,omitempty"`
	Hello  *Hello         `json:"hello,omitempty"`  // host: the session is ready
	Run    *run           `json:"run,omitempty"`    // client: run this
	Result *module.Result `json:"result,omitempty"` // host: the end of a run
	Cancel bool           `json:"cancel,omitempty"` // client: the run of this ID is not wanted any more
	Fetch  string         `json:"fetch,omitempty"`  // host: send the content with this SHA-256
	Data   *data          `json:"data,omitempty"`   // client: a piece of it
	Error  *api.Error     `json:"error,omitempty"`  // either: the run or fetch of this ID failed for reasons of the session
}

// Hello is what the host says of itself first.
type Hello struct {
	Version int    `json:"version"`
	User    string `json:"user"`
	UID     int    `json:"uid"`
}

type run struct {
	Request *module.Request `json:"request"`
	Become  *Become         `json:"become,omitempty"` // how to become Request.User
}

type data struct {
	Bytes []byte `json:"bytes,omitempty"`
	Last  bool   `json:"last,omitempty"`
}

var errFrameSize = fmt.Errorf("a frame of more than %d bytes", MaxFrame)

// readFrame reads one frame. io.EOF means that the stream ended between frames.
func readFrame(r io.Reader) (*frame, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > MaxFrame {
		return nil, errFrameSize
	}
	// Grown as bytes come: a wrong length must not take memory by itself.
	var b bytes.Buffer
	b.Grow(int(min(n, 64<<10)))
	if _, err := io.CopyN(&b, r, n); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	f := &frame{}
	d := json.NewDecoder(&b)
	d.UseNumber()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("a frame that is no JSON: %w", err)
	}
	return f, nil
}

// frameWriter writes whole frames, one at a time.
type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (w *frameWriter) write(f *frame) error {
	var b bytes.Buffer
	b.Write([]byte{0, 0, 0, 0})
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(f); err != nil {
		return err
	}
	n := b.Len() - 4
	if n > MaxFrame {
		return errFrameSize
	}
	binary.BigEndian.PutUint32(b.Bytes(), uint32(n))
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(b.Bytes())
	return err
}

func (w *frameWriter) raw(s string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, s)
	return err
}

// skipToMagic reads until the magic has passed and gives back the noise before it.
func skipToMagic(r io.ByteReader) (noise []byte, err error) {
	matched := 0
	for len(noise) <= maxNoise {
		c, err := r.ReadByte()
		if err != nil {
			return append(noise, magic[:matched]...), err
		}
		for matched > 0 && magic[matched] != c {
			// The magic begins with its only newline-NUL pair: what matched so
			// far is noise, except perhaps a newline that starts anew.
			noise = append(noise, magic[:matched]...)
			matched = 0
		}
		if magic[matched] == c {
			if matched++; matched == len(magic) {
				return noise, nil
			}
			continue
		}
		noise = append(noise, c)
	}
	return noise, fmt.Errorf("more than %d bytes that are no session", maxNoise)
}
