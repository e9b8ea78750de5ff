package server_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/link"
	"drover/internal/server"
	"drover/internal/store"
)

// told is a room that writes down what it hears of hosts.
type told struct {
	domain.Room
	heard chan string
}

func (h *told) Joined(host string, hello *api.Hello) {
	h.heard <- "joined " + host + " " + hello.AgentVersion
}
func (h *told) Left(host string, _ []*api.ToAgent) { h.heard <- "left " + host }
func (h *told) Message(host string, m *api.ToServer) {
	h.heard <- "ack of " + host + " " + m.Ack.Commit
}

func newTold(name string, may string) *told {
	h := &told{heard: make(chan string, 10)}
	h.Room = domain.Room{Name: name, New: func(domain.Services) (domain.Domain, error) {
		return domain.Domain{Name: name, Link: &domain.Link{Consumer: h, MayFetch: func(_ context.Context, _, sha string) error {
			if sha != may {
				return api.Errorf(api.CodeForbidden, "not this")
			}
			return nil
		}}}, nil
	}}
	return h
}

func TestEveryRoomHearsOfHostsAndOneIsEnoughToAllowABlob(t *testing.T) {
	blobA, blobB := strings.Repeat("a", 64), strings.Repeat("b", 64)
	one, two := newTold("one", blobA), newTold("two", blobB)
	w := start(t, one.Room, two.Room)
	ctx := t.Context()
	conn, err := link.Memory(w.Hub(), "web-1").Dial(ctx, &api.Hello{Version: api.LinkVersion, AgentVersion: "9"})
	if err != nil {
		t.Fatal(err)
	}
	if conn.Welcome().ServerVersion != "test" {
		t.Errorf("welcomed by %+v", conn.Welcome())
	}
	if err := conn.Send(ctx, &api.ToServer{Ack: &api.Ack{Commit: "c"}}); err != nil {
		t.Fatal(err)
	}
	for _, room := range []*told{one, two} {
		for _, want := range []string{"joined web-1 9", "ack of web-1 c"} {
			if got := <-room.heard; got != want {
				t.Errorf("heard %q, want %q", got, want)
			}
		}
	}
	// Both blobs may be fetched, though neither is there; a third may not.
	for sha, want := range map[string]api.Code{blobA: api.CodeNotFound, blobB: api.CodeNotFound, strings.Repeat("c", 64): api.CodeForbidden} {
		r, _, err := conn.Blob(ctx, sha, 0)
		if err == nil {
			_, err = r.Read(make([]byte, 1))
			r.Close()
		}
		if api.CodeOf(err) != want {
			t.Errorf("blob %.4s…: %v, want %s", sha, err, want)
		}
	}
	if _, body := w.raw("GET", "/metrics", w.AdminToken(), ""); !strings.Contains(body, "drover_agents_connected 1") {
		t.Error("the metrics do not count the agent")
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-one.heard; got != "left web-1" {
		t.Errorf("heard %q", got)
	}
}

func TestALoopThatFailsBeginsAgainAndEndsWithTheServer(t *testing.T) {
	for name, etcd := range map[string]string{"one server": "", "one of several": "https://etcd.test"} {
		t.Run(name, func(t *testing.T) {
			runs := make(chan int, 10)
			n := 0
			ended := make(chan struct{})
			room := domain.Room{Name: "work", New: func(domain.Services) (domain.Domain, error) {
				return domain.Domain{Name: "work", Loops: []domain.Loop{{Name: "work.on", Leader: true, Run: func(ctx context.Context) error {
					n++
					runs <- n
					switch n {
					case 1:
						return errors.New("the first time it fails")
					case 2:
						panic("the second time it panics")
					}
					<-ctx.Done()
					close(ended)
					return nil
				}}}}, nil
			}}
			w := startWith(t, server.Config{EtcdURL: etcd, Rooms: []domain.Room{room}})
			for want := 1; want <= 3; want++ {
				if got := <-runs; got != want {
					t.Errorf("run %d, want %d", got, want)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			<-ended
		})
	}
}

func TestARoomThatCannotStartNamesItself(t *testing.T) {
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("it panicked: %v", p)
		}
	}()
	err := startError(t, domain.Room{Name: "broken", New: func(domain.Services) (domain.Domain, error) {
		return domain.Domain{}, api.Errorf(api.CodeInvalid, "no wood")
	}})
	wantCode(t, err, api.CodeInvalid, "the room broken", "no wood")
	err = startError(t, domain.Room{Name: "broken", New: func(domain.Services) (domain.Domain, error) {
		return domain.Domain{Name: "broken", Kinds: []domain.Kind{{Name: "thing", Plural: "things", Doc: "x", New: func() api.Object { return &widget{} }, Read: domain.Viewer(), ReadOnly: true}}}, nil
	}})
	if err == nil || !strings.Contains(err.Error(), "does not store") {
		t.Error(err)
	}
}

// A kind's own rules: what it takes away is not there, and its hooks may refuse.
func TestAKindKeepsItsOwnRules(t *testing.T) {
	var after []string
	room := domain.Room{Name: "strict", Kinds: []store.Kind{{Name: "widget", New: func() api.Object { return &widget{} }}},
		New: func(s domain.Services) (domain.Domain, error) {
			return domain.Domain{Name: "strict", Kinds: []domain.Kind{{
				Name: "widget", Plural: "widgets", Doc: "x", New: func() api.Object { return &widget{} }, Read: domain.Viewer(), Write: domain.Admin(), NoDelete: true,
				BeforeWrite: func(ctx context.Context, old, o api.Object) error {
					if o.(*widget).Spec.Colour == "pink" {
						return &api.Error{Code: api.CodeInvalid, Field: "spec.colour", Message: domain.Actor(ctx) + " may not paint it pink"}
					}
					return nil
				},
				AfterWrite: func(ctx context.Context, old, o api.Object) { after = append(after, o.Metadata().Name) },
			}}}, nil
		}}
	w := start(t, room)
	ctx := t.Context()
	wantCode(t, w.admin.Apply(ctx, "widgets", "a", &widget{Spec: widgetSpec{Colour: "pink"}}, nil), api.CodeInvalid, "spec.colour", "token/server-root")
	for range 2 { // the second time nothing is written
		if err := w.admin.Apply(ctx, "widgets", "a", &widget{Spec: widgetSpec{Colour: "red"}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(after) != 1 {
		t.Errorf("told of %v", after)
	}
	if resp, _ := w.raw("DELETE", "/v1/widgets/a", w.AdminToken(), ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("deleted: %s", resp.Status)
	}
	wantCode(t, w.with(api.RoleOperator).Apply(ctx, "widgets", "b", &widget{}, nil), api.CodeForbidden, "needs admin")
}

// What was done although the audit could not be written is not called a success.
func TestABrokenAuditIsSaid(t *testing.T) {
	w := start(t)
	if err := w.Services().Audit.Close(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, w.admin.Apply(t.Context(), "widgets", "a", &widget{}, nil), api.CodeUnavailable, "the audit could not be written")
	if err := w.admin.Get(t.Context(), "widgets", "a", nil); err != nil {
		t.Errorf("reading goes on: %v", err)
	}
}
