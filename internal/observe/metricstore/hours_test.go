package metricstore

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// BenchmarkHours stores what a thousand hosts of 670 series send in three
// hours, as fast as it goes, and has the first two become a block. Until then
// they are held in memory, so this shows what the store comes to, which a run
// of some minutes does not. Run it by -benchtime 1x, with the server's GOGC.
func BenchmarkHours(b *testing.B) {
	const hosts, perHost, interval = 1000, 670, 15 * time.Second
	const steps = int((3*time.Hour + 2*time.Minute) / interval) // the database waits for one and a half times a block
	for b.Loop() {
		s, _ := open(b, Options{})
		begin := time.Now().Truncate(2 * time.Hour).Add(-4 * time.Hour)
		r := rand.New(rand.NewPCG(1, 2))
		refs := make([]storage.SeriesRef, hosts*perHost)
		values := make([]float64, hosts*perHost)
		var most memory
		var mapped time.Time
		for n := range steps {
			at := begin.Add(time.Duration(n) * interval)
			for h := range hosts {
				app := s.AppenderV2(b.Context())
				for i := range perHost {
					k := h*perHost + i
					// As collectors do: a half rarely changes, a third counts, the others move.
					switch i % 6 {
					case 0, 1, 2:
						if r.IntN(100) == 0 {
							values[k] = float64(r.IntN(1000))
						}
					case 3, 4:
						values[k] += float64(r.IntN(100))
					default:
						values[k] = math.Round(r.Float64()*1e6) / 10
					}
					name := labels.EmptyLabels()
					if n == 0 {
						name = labels.FromStrings("__name__", "node_metric_"+strconv.Itoa(i/4), "device", "part"+strconv.Itoa(i%4), "instance", fmt.Sprintf("host-%04d", h), "job", "node")
					}
					var err error
					if refs[k], err = app.Append(refs[k], name, 0, at.UnixMilli(), values[k], nil, nil, storage.AppendV2Options{}); err != nil {
						b.Fatal(err)
					}
				}
				if err := app.Commit(); err != nil {
					b.Fatal(err)
				}
			}
			if at.Sub(mapped) >= mapEvery {
				mapped = at
				s.mapWhole()
			}
			most.look(b)
			if n%120 == 119 {
				b.Logf("after %v: %v", time.Duration(n+1)*interval, most)
			}
		}
		b.ReportMetric(most.anonymous, "MB-appending")
		first := s.db.Head().MinTime()
		for from := time.Now(); s.db.Head().MinTime() == first; <-time.After(100 * time.Millisecond) {
			if most.look(b); time.Since(from) > 10*time.Minute {
				b.Fatal("no block was written")
			}
		}
		b.ReportMetric(most.anonymous, "MB-anonymous")
		b.ReportMetric(most.resident, "MB-resident")
	}
}

// memory is the most that this process had, in MB.
type memory struct{ resident, anonymous float64 }

func (m memory) String() string {
	return fmt.Sprintf("%.0f MB resident, %.0f MB anonymous, at most", m.resident, m.anonymous)
}

func (m *memory) look(b *testing.B) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	of := func(name string) float64 {
		_, rest, _ := strings.Cut(string(raw), name+":")
		kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		if err != nil {
			b.Fatal(err)
		}
		return kb / 1024
	}
	m.resident, m.anonymous = max(m.resident, of("VmRSS")), max(m.anonymous, of("RssAnon"))
}
