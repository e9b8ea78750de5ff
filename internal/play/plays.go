package play

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"drover/api"
	"drover/internal/domain"
	"drover/internal/fleetfile"
	"drover/internal/play/engine"
	"drover/internal/play/playwire"
	"drover/internal/runlog"
	"drover/internal/tree"
)

const (
	maxUpload   = 128 << 20
	playTimeout = 24 * time.Hour
	playForks   = 50
	maxForks    = 1000
)

// servePlay is POST /v1/plays: see routes.go for the protocol.
func (p *Play) servePlay(w http.ResponseWriter, r *http.Request) error {
	t, err := tree.ReadTar(r.Body, tree.Limits{})
	if err != nil {
		return err
	}
	q, t, err := request(t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), q.Timeout)
	defer cancel()
	project, inv, err := p.load(ctx, t, q)
	if err != nil {
		return err
	}
	name, id := strings.Join(q.Playbooks, " "), "play-"+rand.Text()
	domain.Note(ctx, "play/"+id, cut(name, 200)+", "+cut("limit "+q.Limit, 200))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	kept, err := p.d.Runs.Begin(runlog.Begin{ID: id, Kind: api.RunPlay, Title: cut(oneLine(name), maxTitle), Actor: domain.Actor(ctx), Hosts: q.Limit, Check: q.Check, User: q.User,
		Cancel: func(by string) { stop(&cancelledError{by}) }})
	if err != nil {
		return err
	}
	w.Header().Set(runIDHeader, id)
	stream, err := domain.NewStream(w)
	if err != nil {
		kept.EndPlay(api.RunCancelled, "nobody waits for it any more", &api.PlayEnd{})
		return err
	}
	p.event(ctx, &api.Event{Type: "play.started", Actor: domain.Actor(ctx), Message: "a play runs through agents: " + cut(name, 200),
		Data: map[string]any{"run": id, "playbooks": q.Playbooks, "limit": q.Limit, "check": q.Check}})
	end := p.play(ctx, cancel, stream, kept, project, inv, q)
	state, why := "", ""
	var by *cancelledError
	switch err := context.Cause(ctx); {
	case errors.As(err, &by):
		state, why = api.RunCancelled, err.Error()
	case errors.Is(err, context.DeadlineExceeded):
		why = fmt.Sprintf("it took longer than %s", q.Timeout)
	case err != nil:
		state, why = api.RunCancelled, "nobody waits for it any more"
	}
	kept.EndPlay(state, why, &end)
	p.event(ctx, &api.Event{Type: "play.ended", Actor: domain.Actor(ctx), Message: fmt.Sprintf("a play through agents ended with %d: %s", end.Exit, cut(name, 200)),
		Data: map[string]any{"run": id, "playbooks": q.Playbooks, "exit": end.Exit, "hosts": len(end.Recap)}})
	_ = stream.Send("", "end", end)
	return nil
}

// cancelledError says who ended a play.
type cancelledError struct{ by string }

func (e *cancelledError) Error() string { return "cancelled by " + e.by }

// request takes the options out of the upload.
func request(t *tree.Tree) (*api.PlayRequest, *tree.Tree, error) {
	raw, err := t.ReadFile(api.PlayOptionsFile)
	if err != nil {
		return nil, nil, api.Errorf(api.CodeInvalid, "the upload has no %s", api.PlayOptionsFile).WithRemedy("use drover play -c agent")
	}
	var q api.PlayRequest
	if err := domain.DecodeBytes(raw, &q); err != nil {
		return nil, nil, err
	}
	if len(q.Playbooks) == 0 {
		return nil, nil, &api.Error{Code: api.CodeInvalid, Field: "playbooks", Message: "no playbook is named", Remedy: "name at least one"}
	}
	if q.Timeout <= 0 || q.Timeout > playTimeout {
		q.Timeout = playTimeout
	}
	if q.Forks <= 0 {
		q.Forks = playForks
	}
	q.Forks = min(q.Forks, maxForks)
	t, err = t.Sub(func(p string) bool { return p != api.PlayOptionsFile })
	return &q, t, err
}

// load reads and checks what was uploaded, before any host is touched.
func (p *Play) load(ctx context.Context, t *tree.Tree, q *api.PlayRequest) (*engine.Project, *engine.Inventory, error) {
	inv, err := p.inventory(ctx, t, q)
	if err != nil {
		return nil, nil, first(err)
	}
	roles := q.RolesPath
	if len(roles) == 0 {
		roles = rolesPath
	}
	project, err := engine.LoadProject(engine.ProjectOptions{Files: uploaded(t, q), Playbooks: q.Playbooks, RolesPath: roles, ExtraVars: q.ExtraVars, Vault: vault(q), Env: q.Env})
	if err != nil {
		return nil, nil, first(wrong(q, err))
	}
	return project, inv, nil
}

// wrong is err with the places that whoever sent the tree knows.
func wrong(q *api.PlayRequest, err error) error {
	if q.Dir != "" {
		return err // they are absolute there too
	}
	return problems(err)
}

// upload is what was sent, as it is where it came from: relative names start
// where the command did, and files have the permissions that a tree forgets.
type upload struct {
	engine.Files
	dir   string
	modes map[string]uint32
}

func uploaded(t *tree.Tree, q *api.PlayRequest) engine.Files {
	return upload{Files: engine.Bundle(t), dir: path.Clean("/" + q.Dir), modes: q.Modes}
}

func (u upload) abs(name string) string {
	if path.IsAbs(name) {
		return name
	}
	return path.Join(u.dir, name)
}

func (u upload) Root() string                               { return u.dir }
func (u upload) Open(name string) (fs.File, error)          { return u.Files.Open(u.abs(name)) }
func (u upload) ReadFile(name string) ([]byte, error)       { return u.Files.ReadFile(u.abs(name)) }
func (u upload) ReadDir(name string) ([]fs.DirEntry, error) { return u.Files.ReadDir(u.abs(name)) }

func (u upload) Stat(name string) (fs.FileInfo, error) {
	name = path.Clean(u.abs(name))
	st, err := u.Files.Stat(name)
	if mode, ok := u.modes[name]; ok && err == nil {
		st = withMode{st, mode}
	}
	return st, err
}

type withMode struct {
	fs.FileInfo
	mode uint32
}

func (m withMode) Mode() fs.FileMode {
	return m.FileInfo.Mode()&^fs.ModePerm | fs.FileMode(m.mode)&fs.ModePerm
}

func vault(q *api.PlayRequest) *engine.Vault {
	if len(q.Vault) == 0 {
		return nil
	}
	v := &engine.Vault{}
	for _, s := range q.Vault {
		v.Secrets = append(v.Secrets, engine.VaultSecret{ID: s.ID, Password: s.Password})
	}
	return v
}

// inventory is the one that the request names, or the fleet's.
func (p *Play) inventory(ctx context.Context, t *tree.Tree, q *api.PlayRequest) (*engine.Inventory, error) {
	sources := q.Inventory
	if len(sources) == 0 {
		f, err := fleetfile.Load(t)
		if err != nil {
			return nil, err
		}
		sources = f.Inventory
	}
	if len(sources) == 0 {
		return p.enrolled(ctx)
	}
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: uploaded(t, q), Sources: sources, Vault: vault(q),
		Run: func(_ context.Context, argv ...string) ([]byte, error) {
			out, ok := q.Scripts[strings.Join(argv, " ")]
			if !ok {
				return nil, errors.New("the server runs no scripts of others, and its output was not sent")
			}
			return []byte(out), nil
		}})
	if err != nil {
		return nil, wrong(q, err)
	}
	return inv, nil
}

// first makes one error of many, which says how many more there are.
func first(err error) error {
	var list engine.Problems
	if !errors.As(err, &list) || len(list) == 0 {
		return err
	}
	e := *list[0]
	if len(list) > 1 {
		e.Message += fmt.Sprintf(" (and %d more)", len(list)-1)
	}
	return &e
}

// told is what waits to be sent to the reader of a play. When the reader is
// slow the play waits.
type told struct {
	stream *domain.Stream
	lost   context.CancelFunc // ends the play when nobody reads any more
	events chan []byte
	room   *semaphore.Weighted // for bytes of events that wait
}

const (
	maxTold      = 1024                  // events that wait
	maxToldBytes = 16 << 20              // and their bytes; a larger one waits alone
	sendAt       = 1 << 20               // bytes that go without waiting for more
	gatherPlays  = 10 * time.Millisecond // for more events to go with one
)

func newTold(stream *domain.Stream, lost context.CancelFunc) *told {
	return &told{stream: stream, lost: lost, events: make(chan []byte, maxTold), room: semaphore.NewWeighted(maxToldBytes)}
}

// tell has an event sent. It waits for a slow reader, which run never gives up on.
func (t *told) tell(b []byte) {
	_ = t.room.Acquire(context.Background(), weight(b)) // run frees all of it
	t.events <- b
}

func weight(b []byte) int64 { return min(int64(len(b)), maxToldBytes) }

// run sends what comes until events is closed. It always takes, so that nobody
// waits for a reader that is gone.
func (t *told) run() {
	beat := time.NewTicker(domain.HeartbeatEvery)
	defer beat.Stop()
	gone := false
	check := func(err error) {
		if err != nil && !gone {
			gone = true
			t.lost()
		}
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	var wait [][]byte
	bytes := 0
	send := func() {
		if len(wait) > 0 && !gone {
			check(t.send(wait))
		}
		for _, b := range wait {
			t.room.Release(weight(b))
		}
		clear(wait)
		wait, bytes = wait[:0], 0
	}
	ready := true
	for {
		select {
		case b, more := <-t.events:
			if !more {
				send()
				return
			}
			wait = append(wait, b)
			bytes += len(b)
		case <-pause.C:
			ready = true
		case <-beat.C:
			if !gone {
				check(t.stream.Heartbeat())
			}
		}
		// The first goes at once; those that come soon after go together.
		if len(wait) > 0 && (ready || gone || bytes >= sendAt || len(wait) >= maxTold) {
			send()
			ready = false
			pause.Reset(gatherPlays)
		}
	}
}

func (t *told) send(wait [][]byte) error {
	return t.stream.Send("", "play", json.RawMessage(playwire.Join(wait)))
}

// play runs the project, streams its events and keeps them.
func (p *Play) play(ctx context.Context, cancel context.CancelFunc, stream *domain.Stream, kept *runlog.Run, project *engine.Project, inv *engine.Inventory, q *api.PlayRequest) api.PlayEnd {
	t := newTold(stream, cancel)
	var telling sync.WaitGroup
	telling.Go(t.run)
	keep := newKeeper(kept)
	want := playwire.Options{Verbosity: q.Verbosity, Diff: q.Diff}
	recap, err := project.Run(ctx, inv, engine.Options{
		Connector: agents{p: p, ctx: ctx, deadline: p.d.Now().Add(q.Timeout), user: q.User},
		Events: func(e engine.Event) {
			b, err := playwire.Encode(want.For(e))
			if err == nil {
				t.tell(b)
				err = keep.event(e)
			}
			if err != nil {
				p.log.Error("an event of a play is lost", "error", err)
			}
		},
		Limit: q.Limit, Tags: q.Tags, SkipTags: q.SkipTags, Check: q.Check, Diff: q.Diff, ExtraVars: q.ExtraVars, Forks: q.Forks,
		Connection: "agent", StartAt: q.StartAt, Verbosity: q.Verbosity, Now: p.d.Now, Env: q.Env,
		ForceHandler: q.ForceHandlers, Gathering: q.Gathering, BrokenConditionals: q.BrokenConditionals,
		Become: engine.Become{Enabled: q.Become, User: q.BecomeUser, Method: q.BecomeMethod, Password: q.BecomePassword},
	})
	close(t.events)
	keep.close()
	telling.Wait()
	end := api.PlayEnd{Recap: map[string]map[string]int{}}
	if recap != nil {
		end.Order, end.Exit = recap.Order, recap.Exit()
		for h, s := range recap.Hosts {
			end.Recap[h] = map[string]int{"ok": s.OK, "changed": s.Changed, "unreachable": s.Unreachable, "failed": s.Failed,
				"skipped": s.Skipped, "rescued": s.Rescued, "ignored": s.Ignored}
		}
	}
	if err != nil {
		end.Error = asError(err)
		if end.Exit == 0 {
			end.Exit = engine.ExitError
		}
	}
	return end
}

func asError(err error) *api.Error {
	var e *api.Error
	if one := first(err); errors.As(one, &e) {
		return e
	}
	return api.Errorf(api.CodeOf(err), "%v", err)
}

// enrolled is an inventory of the enrolled hosts with their groups.
func (p *Play) enrolled(ctx context.Context) (*engine.Inventory, error) {
	all, groups, err := p.known(ctx, nil)
	if err != nil {
		return nil, err
	}
	return inventoryOf(all, groups, nil)
}
