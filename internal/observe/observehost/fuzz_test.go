package observehost

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// FuzzCursor has any bytes for the cursor's file: it tells a position that was
// saved, or none.
func FuzzCursor(f *testing.F) {
	path := filepath.Join(f.TempDir(), "cursor")
	c, _, _, err := openCursor(path)
	if err != nil {
		f.Fatal(err)
	}
	saved := []position{{1, 2}, {3, 4}, {5, 6}}
	for _, at := range saved {
		if err := c.save(at); err != nil {
			f.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	c.close()
	f.Fuzz(func(t *testing.T, data []byte) {
		at, _, found := readCursor(data)
		if found && (at.Segment < 0 || at.Offset < 0) || !found && at != (position{}) {
			t.Errorf("the cursor is %v, %v", at, found)
		}
	})
}

// TestCursorSurvivesTornWrites breaks either place of the file.
func TestCursorSurvivesTornWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cursor")
	c, _, found, err := openCursor(path)
	if err != nil || found {
		t.Fatal(found, err)
	}
	for i := 1; i <= 5; i++ {
		if err := c.save(position{i, int64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	c.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		if i%placeSpace >= placeSize {
			continue
		}
		data := bytes.Clone(whole)
		data[i] ^= 1
		at, _, found := readCursor(data)
		if !found || at != (position{4, 4}) && at != (position{5, 5}) {
			t.Fatalf("with byte %d broken the cursor is %v, %v", i, at, found)
		}
	}
	c, at, found, err := openCursor(path)
	if err != nil || !found || at != (position{5, 5}) {
		t.Fatalf("the cursor is %v, %v, %v", at, found, err)
	}
	defer c.close()
	if err := c.save(position{6, 6}); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil {
		t.Fatal(err)
	} else if at, _, _ := readCursor(data); at != (position{6, 6}) {
		t.Errorf("after one more the cursor is %v", at)
	}
}

// FuzzSegment has any bytes for a segment: reading ends, and says why.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	w, err := openLog(dir, slog.New(slog.DiscardHandler), limits{segment: 1 << 20, bytes: 1 << 20, age: 1 << 60})
	if err != nil {
		f.Fatal(err)
	}
	s := newSeriesSet()
	desc := prometheus.NewDesc("m", "", []string{"l"}, nil)
	for i := range 3 {
		s.begin(int64(i))
		s.add(prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(i), "a"))
		s.end()
		if err := w.append(s); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		f.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "00000000"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(data[:200])
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newSegmentReader(0, nil, bytes.NewReader(data))
		last := position{}
		for {
			list, at, err := r.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				if _, _, again := r.next(); again == nil {
					t.Error("after damage it reads on")
				}
				return
			}
			if !last.before(at) {
				t.Errorf("after %v comes %v", last, at)
			}
			last = at
			var e encoder
			if len(list) > 0 {
				e.request(list)
			}
		}
	})
}

func FuzzProc(f *testing.F) {
	for _, name := range []string{"/proc/self/stat", "/proc/stat", "/proc/meminfo"} {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(data)
		}
	}
	f.Add([]byte("12 (a) b) (c) S 1 2"))
	f.Fuzz(func(_ *testing.T, data []byte) {
		parseStat(data)
		parseCPU(data)
		parseMemory(data)
	})
}
