package repo

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"drover/api"
)

// Git's protocol is made of packets: four hex digits that count the packet's
// bytes, themselves included, then those bytes; "0000" ends a list.

const maxPkt = 65520

func writePkt(w io.Writer, s string) error {
	_, err := fmt.Fprintf(w, "%04x%s", len(s)+4, s)
	return err
}

func writeFlush(w io.Writer) error {
	_, err := io.WriteString(w, "0000")
	return err
}

// readPkt reads one packet; flush tells that it was the end of a list.
func readPkt(r io.Reader) (data []byte, flush bool, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, false, err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 16)
	switch {
	case err != nil || n > maxPkt || n > 0 && n < 4:
		return nil, false, fmt.Errorf("%q is not the length of a packet", head)
	case n == 0:
		return nil, true, nil
	}
	data = make([]byte, n-4)
	_, err = io.ReadFull(r, data)
	return data, false, err
}

// command is one change of a reference that a push asks for.
type command struct {
	Old, New, Ref string
}

// request is the head of a push, before the pack.
type request struct {
	commands []command
	caps     map[string]bool
	options  []string
	hasPack  bool
}

const (
	maxCommands = 256
	maxOptions  = 16
)

// readRequest reads a push up to its pack.
func readRequest(r *bufio.Reader) (*request, error) {
	q := &request{caps: map[string]bool{}}
	for {
		data, flush, err := readPkt(r)
		if err == io.EOF && len(q.commands) == 0 {
			return q, nil
		}
		if err != nil {
			return nil, protocolError(err)
		}
		if flush {
			break
		}
		line, caps, _ := strings.Cut(strings.TrimSuffix(string(data), "\n"), "\x00")
		if strings.HasPrefix(line, "shallow ") {
			continue // whether all is there is found out by walking the objects
		}
		f := strings.SplitN(line, " ", 3)
		if len(f) != 3 || !hashForm.MatchString(f[0]) || !hashForm.MatchString(f[1]) {
			return nil, protocolError(fmt.Errorf("%.80q is not a change of a reference", line))
		}
		if len(q.commands) == 0 {
			for _, c := range strings.Fields(caps) {
				q.caps[c] = true
			}
		}
		if len(q.commands) == maxCommands {
			return nil, api.Errorf(api.CodeTooLarge, "the push changes more than %d references", maxCommands).WithRemedy("push fewer branches at once")
		}
		q.commands = append(q.commands, command{Old: f[0], New: f[1], Ref: f[2]})
		q.hasPack = q.hasPack || f[1] != zero
	}
	if !q.caps["push-options"] {
		return q, nil
	}
	for {
		data, flush, err := readPkt(r)
		if err != nil {
			return nil, protocolError(err)
		}
		if flush {
			return q, nil
		}
		if len(q.options) == maxOptions {
			return nil, api.Errorf(api.CodeTooLarge, "the push has more than %d options", maxOptions)
		}
		q.options = append(q.options, strings.TrimSpace(string(data)))
	}
}

func protocolError(err error) error {
	return api.Errorf(api.CodeInvalid, "cannot read the push: %v", err).WithRemedy("push with git 2.11 or newer")
}

// sideband sends text to the one who pushes while the push is judged: git
// shows each line behind "remote: ". Without the capability it is dropped.
type sideband struct {
	mu   sync.Mutex
	w    io.Writer
	on   bool
	tick func()
	err  error
}

// Write sends p as progress.
func (s *sideband) Write(p []byte) (int, error) {
	s.send(2, p)
	return len(p), nil
}

func (s *sideband) send(band byte, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && s.on && s.err == nil {
		n := min(len(p), maxPkt-5)
		_, s.err = fmt.Fprintf(s.w, "%04x%c%s", n+5, band, p[:n])
		p = p[n:]
	}
	s.tick()
}

// report ends the answer with what became of each reference.
func (s *sideband) report(unpack string, commands []command, refused map[string]string) {
	var b bytes.Buffer
	_ = writePkt(&b, "unpack "+unpack+"\n")
	for _, c := range commands {
		line := "ok " + c.Ref + "\n"
		if why, no := refused[c.Ref]; no {
			line = "ng " + c.Ref + " " + oneLine(why) + "\n"
		}
		_ = writePkt(&b, line)
	}
	_ = writeFlush(&b)
	if !s.on {
		s.mu.Lock()
		_, s.err = s.w.Write(b.Bytes())
		s.mu.Unlock()
		s.tick()
		return
	}
	s.send(1, b.Bytes())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = writeFlush(s.w)
	}
	s.tick()
}

func oneLine(s string) string { return cut(strings.Join(strings.Fields(s), " "), 300) }

// readBatch reads what `git cat-file --batch` answers for the entries, in order.
func readBatch(out io.Reader, entries []treeEntry, content map[string][]byte) error {
	in := bufio.NewReaderSize(out, 64<<10)
	for _, e := range entries {
		head, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("cannot read %s: %w", e.path, err)
		}
		f := strings.Fields(head)
		if len(f) != 3 || f[0] != e.object || f[2] != strconv.FormatInt(e.size, 10) {
			return fmt.Errorf("cannot read %s: git answered %q", e.path, head)
		}
		data := make([]byte, e.size+1)
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("cannot read %s: %w", e.path, err)
		}
		content[e.object] = data[:e.size:e.size]
	}
	return nil
}
