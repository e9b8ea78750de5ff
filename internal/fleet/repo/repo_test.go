package repo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"drover/api"
	"drover/internal/fleet/repo"
)

// fixture is a repository behind a real HTTP server, a clone of it, and a
// judge that refuses trees with a file called "bad".
type fixture struct {
	*testing.T
	repo     *repo.Repo
	url      string
	dir      string // the clone
	mu       sync.Mutex
	accepted []string
}

func (f *fixture) Judge(ctx context.Context, p *repo.Push, say io.Writer) error {
	t, err := p.Tree(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(say, "reading %s of %s\n", p.Branch(), p.Pusher)
	if t.Has("bad") && p.IsMain() {
		fmt.Fprintln(say, "bad:1:1: this is bad; make it good")
		return api.Errorf(api.CodeInvalid, "1 error")
	}
	return nil
}

func (f *fixture) Accepted(_ context.Context, p *repo.Push, say io.Writer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepted = append(f.accepted, p.Ref+" "+p.Commit.Subject)
	fmt.Fprintln(say, "accepted "+p.Commit.Subject)
}

func newFixture(t *testing.T, o repo.Options) *fixture {
	t.Helper()
	r, err := repo.Open(t.Context(), filepath.Join(t.TempDir(), "fleet.git"), o)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, repo: r, dir: filepath.Join(t.TempDir(), "clone")}
	mux := http.NewServeMux()
	handle := func(pattern string, fn func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
			if err := fn(w, req); err != nil {
				http.Error(w, err.Error(), api.CodeOf(err).HTTPStatus())
			}
		})
	}
	handle("GET /fleet.git/info/refs", func(w http.ResponseWriter, req *http.Request) error {
		return r.Advertise(w, req, req.URL.Query().Get("service"))
	})
	handle("POST /fleet.git/git-upload-pack", r.Upload)
	handle("POST /fleet.git/git-receive-pack", func(w http.ResponseWriter, req *http.Request) error {
		return r.Receive(w, req, "ada <x>", f)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	f.url = s.URL + "/fleet.git"
	f.git("", "init", "-q", "-b", "main", f.dir)
	f.git(f.dir, "remote", "add", "origin", f.url)
	return f
}

func (f *fixture) try(dir string, args ...string) (string, error) {
	f.Helper()
	cmd := exec.CommandContext(f.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=ada", "GIT_AUTHOR_EMAIL=ada@localhost", "GIT_COMMITTER_NAME=ada", "GIT_COMMITTER_EMAIL=ada@localhost")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (f *fixture) git(dir string, args ...string) string {
	f.Helper()
	out, err := f.try(dir, args...)
	if err != nil {
		f.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return out
}

// commit writes files (name, content pairs) and commits them.
func (f *fixture) commit(subject string, files ...string) string {
	f.Helper()
	for i := 0; i < len(files); i += 2 {
		p := filepath.Join(f.dir, files[i])
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(files[i+1]), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	f.git(f.dir, "add", "-A")
	f.git(f.dir, "commit", "-q", "--allow-empty", "-m", subject)
	return strings.TrimSpace(f.git(f.dir, "rev-parse", "HEAD"))
}

// refuses runs a push that must fail and say each of want.
func (f *fixture) refuses(want []string, args ...string) string {
	f.Helper()
	before, _ := f.repo.Head(f.Context())
	out, err := f.try(f.dir, append([]string{"push"}, args...)...)
	if err == nil {
		f.Errorf("git push %v was accepted:\n%s", args, out)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			f.Errorf("git push %v does not say %q:\n%s", args, w, out)
		}
	}
	if after, _ := f.repo.Head(f.Context()); after != before {
		f.Errorf("git push %v: main moved from %s to %s", args, before, after)
	}
	f.clean()
	return out
}

// clean checks that no push left anything behind.
func (f *fixture) clean() {
	f.Helper()
	left, err := os.ReadDir(filepath.Join(f.repo.Dir(), "incoming"))
	if err != nil && !errors.Is(err, os.ErrNotExist) || len(left) > 0 {
		f.Errorf("a push left %v (%v)", left, err)
	}
}

func TestPushMovesMainAndKeepsWhoPushed(t *testing.T) {
	f := newFixture(t, repo.Options{})
	if head, err := f.repo.Head(t.Context()); head != "" || err != nil {
		t.Fatalf("an empty repository has head %q, %v", head, err)
	}
	first := f.commit("first", "site.yml", "- hosts: all\n", "roles/a/run.sh", "#!/bin/sh\n")
	out := f.git(f.dir, "push", "origin", "main")
	for _, want := range []string{"remote: reading main of ada", "remote: accepted first"} {
		if !strings.Contains(out, want) {
			t.Errorf("the push does not say %q:\n%s", want, out)
		}
	}
	if head, _ := f.repo.Head(t.Context()); head != first {
		t.Errorf("head is %s, want %s", head, first)
	}
	if who := f.repo.Pusher(t.Context()); who != "ada x" {
		t.Errorf("the pusher is %q", who)
	}
	second := f.commit("second", "site.yml", "- hosts: web\n")
	f.git(f.dir, "push", "origin", "main", "main:refs/heads/topic", "main:refs/tags/v1")
	c, err := f.repo.Commit(t.Context(), second)
	if err != nil || c.Subject != "second" || c.Parent != first || c.Author != "ada <ada@localhost>" || c.When.IsZero() {
		t.Errorf("commit: %+v, %v", c, err)
	}
	tr, err := f.repo.Tree(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := tr.ReadFile("site.yml"); string(b) != "- hosts: web\n" || err != nil {
		t.Errorf("site.yml: %q, %v", b, err)
	}
	clone := filepath.Join(t.TempDir(), "again")
	f.git("", "clone", "-q", f.url, clone)
	if got := strings.TrimSpace(f.git(clone, "rev-parse", "v1^{commit}")); got != second {
		t.Errorf("a fresh clone has %s at v1, want %s", got, second)
	}
	if f.git(f.dir, "push", "origin", ":topic"); len(f.accepted) != 3 {
		t.Errorf("accepted %q", f.accepted)
	}
	f.clean()
}

func TestPushesThatAreRefusedChangeNothing(t *testing.T) {
	f := newFixture(t, repo.Options{})
	f.commit("first", "a", "1")
	f.git(f.dir, "push", "origin", "main")

	f.commit("worse", "bad", "x")
	f.refuses([]string{"remote: bad:1:1: this is bad; make it good", "! [remote rejected] main -> main (1 error)"}, "origin", "main")
	f.git(f.dir, "push", "origin", "main:topic") // other branches may hold anything
	out := f.refuses([]string{"another branch of this atomic push was refused"}, "--atomic", "origin", "main", "main:refs/heads/second")
	if strings.Contains(out, "[new branch]") {
		t.Errorf("an atomic push was taken in part:\n%s", out)
	}
	f.git(f.dir, "reset", "-q", "--hard", "HEAD~1")

	f.git(f.dir, "commit", "-q", "--amend", "-m", "changed past")
	f.refuses([]string{"rejected"}, "origin", "main")
	f.refuses([]string{"remote: The push was refused: main would lose commits", "git pull --rebase", "-o rewind"}, "--force", "origin", "main")
	f.refuses([]string{"cannot be deleted"}, "origin", ":main")
	f.refuses([]string{"neither a branch nor a tag"}, "origin", "main:refs/notes/x")

	f.git(f.dir, "push", "--force", "-o", "rewind", "origin", "main")
	if n := len(f.accepted); f.accepted[n-1] != "refs/heads/main changed past" {
		t.Errorf("accepted %q", f.accepted)
	}
}

func TestWhatCannotBeDeployedIsRefusedByName(t *testing.T) {
	f := newFixture(t, repo.Options{})
	f.commit("link", "roles/x/files/y", "1")
	if err := os.Symlink("/etc/shadow", filepath.Join(f.dir, "roles/x/files/key")); err != nil {
		t.Fatal(err)
	}
	f.commit("link out")
	f.refuses([]string{"the link leads out of the repository"}, "origin", "main")
	f.git(f.dir, "rm", "-q", "-f", "roles/x/files/key")
	f.commit("gone")

	sub := filepath.Join(f.dir, "sub")
	f.git("", "init", "-q", sub)
	f.git(sub, "commit", "-q", "--allow-empty", "-m", "x")
	f.commit("submodule")
	f.refuses([]string{"it is a submodule"}, "origin", "main")
}

func TestPushOverTheLimitIsRefusedEarly(t *testing.T) {
	f := newFixture(t, repo.Options{MaxPush: 4 << 20})
	f.commit("fine", "a", "1")
	f.git(f.dir, "push", "origin", "main")
	noise := make([]byte, 100<<20)
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(noise)
	f.commit("huge", "image.iso", string(noise))
	f.refuses([]string{"remote: The push was refused: it is larger than 4 MB", "remote:   what to do: keep large files out"}, "origin", "main")
	if du := size(t, f.repo.Dir()); du > 1<<20 {
		t.Errorf("the repository grew to %d bytes", du)
	}
	// The way out that the message names works.
	f.git(f.dir, "reset", "-q", "--soft", "origin/main")
	f.git(f.dir, "rm", "-q", "--cached", "image.iso")
	_ = os.Remove(filepath.Join(f.dir, "image.iso"))
	f.commit("small", "b", "2")
	f.git(f.dir, "push", "origin", "main")
}

func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		st, err := d.Info()
		if err == nil {
			n += st.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLeftoversOfAKilledPushAreSwept(t *testing.T) {
	f := newFixture(t, repo.Options{})
	f.commit("first", "a", "1")
	f.git(f.dir, "push", "origin", "main")
	dir := f.repo.Dir()
	for _, p := range []string{"incoming/push-1/objects/pack/tmp_pack_x", "refs/heads/main.lock", "packed-refs.lock"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, p), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := repo.Open(t.Context(), dir, repo.Options{}); err != nil {
		t.Fatal(err)
	}
	f.clean()
	f.commit("second", "a", "2")
	f.git(f.dir, "push", "origin", "main")
}

func TestShallowClonesAndEmptyPushes(t *testing.T) {
	f := newFixture(t, repo.Options{})
	f.commit("first", "a", "1")
	f.commit("second", "a", "2")
	f.git(f.dir, "push", "origin", "main")
	old := f.dir
	f.dir = filepath.Join(t.TempDir(), "shallow")
	f.git("", "clone", "-q", "--depth=1", f.url, f.dir)
	f.commit("third", "a", "3")
	f.git(f.dir, "push", "origin", "main")
	if out := f.git(f.dir, "push", "origin", "main"); !strings.Contains(out, "up-to-date") {
		t.Errorf("pushing again: %s", out)
	}
	f.dir = old
	f.refuses([]string{"fetch first"}, "origin", "HEAD~1:main", "main~0:refs/heads/x", "--atomic")
}

func TestNoiseInsteadOfAPush(t *testing.T) {
	f := newFixture(t, repo.Options{})
	for _, body := range []string{"hello", "00zz", "ffff", "0004", "0030" + strings.Repeat("x", 44), "0000junk"} {
		resp, err := http.Post(f.url+"/git-receive-pack", "application/x-git-receive-pack-request", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnprocessableEntity && body[:4] != "0000" {
			t.Errorf("%q: status %d", body, resp.StatusCode)
		}
	}
	f.clean()
}
