package agent_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"drover/api"
	"drover/internal/agent"
	"drover/internal/link"
)

func TestLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		hold := make(chan struct{})
		h := begin(t, s, t.TempDir(), &executor{}, func(c *agent.Config) {
			c.Look = func(ctx context.Context, l *api.Look) *api.Seen {
				if l.What == "slow" {
					select {
					case <-hold:
					case <-ctx.Done():
						return &api.Seen{Error: "it took too long"}
					}
				}
				return &api.Seen{Units: []api.Unit{{Name: l.What}}}
			}
		})
		defer h.stop()
		s.until(func() bool { return len(s.hellos) == 1 })
		look := func(id, what string) {
			if err := s.hub.SendWait(t.Context(), "web-1", &api.ToAgent{Look: &api.Look{ID: id, What: what}}); err != nil {
				t.Fatal(err)
			}
		}
		look("1", "units")
		s.until(func() bool { return len(s.seen["1"].Units) == 1 && s.seen["1"].Units[0].Name == "units" })
		// Slow ones hold nothing up, except that there are not many at once.
		for _, id := range []string{"2", "3", "4"} {
			look(id, "slow")
		}
		look("5", "units")
		s.until(func() bool { return s.seen["5"].ID == "5" })
		look("6", "slow")
		synctest.Wait()
		look("7", "units")
		s.until(func() bool { return strings.Contains(s.seen["7"].Error, "many") })
		time.Sleep(time.Minute)
		s.until(func() bool { return s.seen["2"].Error == "it took too long" && s.seen["6"].Error == "it took too long" })
	})
}

func TestLookOfAnAgentThatDoesNot(t *testing.T) {
	s := newFakeServer(t)
	begin(t, s, t.TempDir(), &executor{}, nil)
	s.until(func() bool { return len(s.hellos) == 1 })
	if err := s.hub.Send("web-1", &api.ToAgent{Look: &api.Look{ID: "1", What: api.LookUnits}}); err != nil {
		t.Fatal(err)
	}
	s.until(func() bool { return s.seen["1"].Error != "" })
}

// dialer reaches nothing until it is given another.
type dialer struct{ to atomic.Pointer[link.Dialer] }

func (d *dialer) Dial(ctx context.Context, hello *api.Hello) (link.Conn, error) {
	if to := d.to.Load(); to != nil {
		return (*to).Dial(ctx, hello)
	}
	return nil, api.Errorf(api.CodeUnavailable, "the server is away")
}

func (d *dialer) Renew(context.Context, *api.RenewRequest) (*api.RenewResponse, error) {
	return nil, api.Errorf(api.CodeUnavailable, "the server is away")
}

type metricsFunc func(host string, body []byte) error

func (f metricsFunc) Write(_ context.Context, host string, body []byte) error { return f(host, body) }

// TestWriteWaitsForALine has samples wait while no server is there.
func TestWriteWaitsForALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFakeServer(t)
		stored := make(chan string, 1)
		hub := link.NewHub(link.HubConfig{Consumer: s, Metrics: metricsFunc(func(host string, body []byte) error {
			stored <- host + " " + string(body)
			return nil
		})})
		defer hub.Close()
		var open dialer
		wrote := make(chan error, 1)
		h := begin(t, s, t.TempDir(), &executor{}, func(c *agent.Config) {
			c.Dialer = &open
			c.Metrics = func(ctx context.Context, write func(context.Context, []byte) error) {
				wrote <- write(ctx, []byte("samples"))
				<-ctx.Done()
			}
		})
		defer h.stop()
		time.Sleep(10 * time.Minute)
		select {
		case err := <-wrote:
			t.Fatalf("without a server write returned %v", err)
		default:
		}
		server := link.Memory(hub, "web-1")
		open.to.Store(&server)
		if got := <-stored; got != "web-1 samples" {
			t.Errorf("stored is %q", got)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
	})
}
