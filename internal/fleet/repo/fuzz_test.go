package repo

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
)

// FuzzReadRequest feeds noise to the reader of pushes: it must neither panic
// nor take more than it is allowed to.
func FuzzReadRequest(f *testing.F) {
	var good bytes.Buffer
	_ = writePkt(&good, zero+" "+strings.Repeat("a", 40)+" refs/heads/main\x00report-status side-band-64k push-options")
	_ = writeFlush(&good)
	_ = writePkt(&good, "rewind")
	_ = writeFlush(&good)
	f.Add(good.Bytes())
	f.Add([]byte("0000"))
	f.Add([]byte("0032shallow " + strings.Repeat("b", 40) + "0000"))
	f.Fuzz(func(t *testing.T, src []byte) {
		q, err := readRequest(bufio.NewReader(bytes.NewReader(src)))
		if err != nil {
			return
		}
		if len(q.commands) > maxCommands || len(q.options) > maxOptions {
			t.Fatalf("%d commands, %d options", len(q.commands), len(q.options))
		}
		for _, c := range q.commands {
			if !hashForm.MatchString(c.Old) || !hashForm.MatchString(c.New) {
				t.Fatalf("command %+v", c)
			}
		}
	})
}

// FuzzParseTree feeds noise to the reader of git's lists.
func FuzzParseTree(f *testing.F) {
	f.Add([]byte("100644 blob " + strings.Repeat("a", 40) + "       5\tsite.yml\x00120000 blob " + strings.Repeat("b", 40) + " 3\ta/b\x00"))
	f.Add([]byte("160000 commit " + strings.Repeat("a", 40) + " -\tsub\x00"))
	f.Fuzz(func(t *testing.T, src []byte) {
		entries, err := parseTree(src)
		if err != nil {
			return
		}
		for _, e := range entries {
			if e.mode == "" {
				t.Fatalf("entry %+v", e)
			}
		}
	})
}
