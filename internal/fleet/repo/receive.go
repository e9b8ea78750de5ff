package repo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"time"

	"drover/api"
	"drover/internal/tree"
)

// Judge decides on pushed branches. What it writes to say is shown to the one
// who pushes, line by line.
type Judge interface {
	// Judge reads a branch before it moves; an error refuses it, in a few words.
	Judge(ctx context.Context, p *Push, say io.Writer) error
	// Accepted follows when the branch has moved.
	Accepted(ctx context.Context, p *Push, say io.Writer)
}

// Push is one branch that is pushed.
type Push struct {
	Ref     string
	Old     string // "" for a new branch
	Commit  Commit
	Rewind  bool // the old commit is not an ancestor of the new one
	Pusher  string
	Options []string // of `git push -o`

	repo *Repo
	q    *quarantine
}

// IsMain reports whether the branch is the fleet's desired state.
func (p *Push) IsMain() bool { return p.Ref == Main }

// Branch is the branch's name as people say it.
func (p *Push) Branch() string { return strings.TrimPrefix(p.Ref, "refs/heads/") }

// Tree reads the pushed commit's files. Its errors are the pusher's.
func (p *Push) Tree(ctx context.Context) (*tree.Tree, error) {
	return p.repo.tree(ctx, p.q, p.Commit.Hash)
}

// OptionRewind is the push option that lets main go back.
const OptionRewind = "rewind"

// quarantine holds the objects of one push until it is accepted.
type quarantine struct {
	dir, objects string
}

func (r *Repo) newQuarantine() (*quarantine, error) {
	if err := os.MkdirAll(r.incoming(), 0o700); err != nil {
		return nil, fmt.Errorf("cannot receive the push: %w", err)
	}
	dir, err := os.MkdirTemp(r.incoming(), "push-")
	if err != nil {
		return nil, fmt.Errorf("cannot receive the push: %w", err)
	}
	q := &quarantine{dir: dir, objects: filepath.Join(dir, "objects")}
	if err := os.MkdirAll(filepath.Join(q.objects, "pack"), 0o700); err != nil {
		q.remove()
		return nil, fmt.Errorf("cannot receive the push: %w", err)
	}
	return q, nil
}

func (q *quarantine) remove() { _ = os.RemoveAll(q.dir) } // what stays is removed by the next Open

// release moves the objects into the repository: each pack before the index
// that makes it visible.
func (r *Repo) release(q *quarantine) error {
	from, to := filepath.Join(q.objects, "pack"), filepath.Join(r.dir, "objects", "pack")
	ents, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("cannot keep the push: %w", err)
	}
	rank := map[string]int{".pack": 0, ".rev": 1, ".idx": 2}
	sort.SliceStable(ents, func(i, j int) bool { return rank[filepath.Ext(ents[i].Name())] < rank[filepath.Ext(ents[j].Name())] })
	for _, e := range ents {
		if _, ok := rank[filepath.Ext(e.Name())]; !ok {
			continue
		}
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return fmt.Errorf("cannot keep the push: %w", err)
		}
	}
	d, err := os.Open(to)
	if err != nil {
		return fmt.Errorf("cannot keep the push: %w", err)
	}
	defer d.Close()
	return d.Sync()
}

// errTooBig stops the reading of a push.
var errTooBig = errors.New("over the limit")

// bounded reads at most left bytes and fails then, where io.LimitReader ends.
type bounded struct {
	r    io.Reader
	left int64
	over atomic.Bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.over.Store(true)
		return 0, errTooBig
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// Receive answers a push. An error is returned only while nothing was
// answered yet; what is wrong with the push itself is told in git's protocol.
func (r *Repo) Receive(w http.ResponseWriter, req *http.Request, pusher string, j Judge) error {
	ctx := req.Context()
	select {
	case r.pushes <- struct{}{}:
		defer func() { <-r.pushes }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	raw := io.Reader(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(req.Body)
		if err != nil {
			return protocolError(err)
		}
		raw = z
	}
	// One byte more than is allowed is read, to tell full from over full.
	body := &bounded{r: raw, left: r.o.MaxPush + 64<<10}
	in := bufio.NewReaderSize(body, 64<<10)
	asked, err := readRequest(in)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-git-receive-pack-result")
	h.Set("Cache-Control", "no-cache")
	ctrl := http.NewResponseController(w)
	_ = ctrl.EnableFullDuplex() // where it is not known, it is always so
	w.WriteHeader(http.StatusOK)
	side := &sideband{w: w, on: asked.caps["side-band-64k"], tick: func() { _ = ctrl.Flush() }}
	if len(asked.commands) == 0 {
		return nil // git asks this way whether it may push
	}
	p := &pushing{Repo: r, request: asked, judge: j, pusher: pusher, side: side, refused: map[string]string{}}
	unpack := "ok"
	if err := p.do(ctx, in, body, req.ContentLength); err != nil {
		unpack = oneLine(plain(err))
		for _, c := range asked.commands {
			p.refuse(c.Ref, "nothing was accepted")
		}
		if !p.told {
			p.tell(err)
		}
	}
	side.report(unpack, asked.commands, p.refused)
	if body.over.Load() || unpack != "ok" {
		drain(ctrl, raw)
	}
	return nil
}

// drain takes what the other end still sends, so that it gets to read the
// answer; for a while only.
func drain(ctrl *http.ResponseController, body io.Reader) {
	_ = ctrl.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.CopyN(io.Discard, body, 1<<30)
}

// pushing is one push under way.
type pushing struct {
	*Repo
	*request
	judge   Judge
	pusher  string
	side    *sideband
	q       *quarantine
	refused map[string]string
	told    bool // the pusher read why
}

func (p *pushing) refuse(ref, why string) {
	if _, ok := p.refused[ref]; !ok {
		p.refused[ref] = why
	}
}

// tell shows an error with its remedy.
func (p *pushing) tell(err error) {
	p.told = true
	var e *api.Error
	if !errors.As(err, &e) {
		e = &api.Error{Message: err.Error()}
	}
	text := "\nThe push was refused: " + e.Message + "\n"
	if e.Remedy != "" {
		text += "  what to do: " + e.Remedy + "\n"
	}
	_, _ = io.WriteString(p.side, text+"\n")
}

func plain(err error) string {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// do receives and judges; its error is about the push as a whole.
func (p *pushing) do(ctx context.Context, in *bufio.Reader, body *bounded, size int64) error {
	if size > p.o.MaxPush {
		return p.tooBig()
	}
	q, err := p.newQuarantine()
	if err != nil {
		return diskError(err)
	}
	p.q = q
	defer q.remove()
	if p.hasPack {
		if err := p.unpack(ctx, in, body); err != nil {
			return err
		}
	}
	select {
	case p.write <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	moved, err := p.judgeAll(ctx)
	<-p.write
	if err != nil {
		return err
	}
	for _, m := range moved {
		// The references have moved: the rest is done even if the pusher left.
		p.judge.Accepted(context.WithoutCancel(ctx), m, p.side)
	}
	return nil
}

func (p *pushing) tooBig() error {
	return api.Errorf(api.CodeTooLarge, "it is larger than %d MB, the most that one push may have", p.o.MaxPush>>20).
		WithRemedy("keep large files out of the repository (a web server and get_url serve them better) and remove them from the commits: git rebase -i, or git reset --soft origin/main and commit again")
}

func diskError(err error) error {
	if strings.Contains(err.Error(), "No space left") || strings.Contains(err.Error(), "no space left") {
		return api.Errorf(api.CodeUnavailable, "the server's disk is full").WithRemedy("free space where the server keeps its data, then push again")
	}
	return err
}

// unpack writes the pushed objects into the quarantine and checks that they
// are whole and that nothing they refer to is missing.
func (p *pushing) unpack(ctx context.Context, in *bufio.Reader, body *bounded) error {
	head, err := in.Peek(12)
	if err != nil {
		if body.over.Load() {
			return p.tooBig()
		}
		return protocolError(fmt.Errorf("the pack is cut off: %w", err))
	}
	if string(head[:4]) != "PACK" {
		return protocolError(errors.New("what follows is not a pack"))
	}
	// References may move to objects that are here: then the pack is empty.
	if !bytes.Equal(head[8:12], []byte{0, 0, 0, 0}) {
		_, err := p.git(ctx, p.q, in, "-c", "pack.threads=1", "index-pack", "--stdin", "--fix-thin", "--strict",
			fmt.Sprintf("--max-input-size=%d", p.o.MaxPush))
		if body.over.Load() || err != nil && strings.Contains(err.Error(), "maximum allowed size") {
			return p.tooBig()
		}
		if err != nil {
			var bad *gitError
			var code *exec.ExitError
			if !errors.As(err, &bad) || !errors.As(err, &code) {
				return err
			}
			if full := diskError(bad); full != error(bad) {
				return full
			}
			return api.Errorf(api.CodeInvalid, "its objects are broken: %s", oneLine(bad.stderr)).WithRemedy("check your repository: git fsck")
		}
	}
	args := []string{"rev-list", "--objects", "--quiet"}
	for _, c := range p.commands {
		if c.New != zero {
			args = append(args, c.New)
		}
	}
	if _, err := p.git(ctx, p.q, nil, append(args, "--not", "--all")...); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return api.Errorf(api.CodeInvalid, "objects that it needs are missing").WithRemedy("if your clone is shallow, complete it: git fetch --unshallow")
	}
	return nil
}

// judgeAll decides on each reference and moves those that were agreed to, in
// one transaction.
func (p *pushing) judgeAll(ctx context.Context) ([]*Push, error) {
	var agreed []command
	var branches []*Push
	for _, c := range p.commands {
		b, err := p.look(ctx, c)
		if err == nil && b != nil {
			err = p.judge.Judge(ctx, b, p.side)
			p.told = p.told || err != nil
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			var e *api.Error
			if errors.As(err, &e) && e.Remedy != "" && b == nil {
				p.tell(err)
			}
			p.refuse(c.Ref, plain(err))
			continue
		}
		agreed = append(agreed, c)
		if b != nil {
			branches = append(branches, b)
		}
	}
	if p.caps["atomic"] && len(p.refused) > 0 {
		for _, c := range agreed {
			p.refuse(c.Ref, "another branch of this atomic push was refused")
		}
		return nil, nil
	}
	if len(agreed) == 0 {
		return nil, nil
	}
	if err := p.release(p.q); err != nil {
		return nil, diskError(err)
	}
	if err := p.move(ctx, agreed); err != nil {
		return nil, err
	}
	return branches, nil
}

// look checks one command; a branch that is to be judged is returned.
func (p *pushing) look(ctx context.Context, c command) (*Push, error) {
	branch, tag := strings.HasPrefix(c.Ref, "refs/heads/"), strings.HasPrefix(c.Ref, "refs/tags/")
	if !branch && !tag {
		return nil, api.Errorf(api.CodeInvalid, "%s is neither a branch nor a tag", c.Ref).WithRemedy("push branches and tags only")
	}
	if _, err := p.git(ctx, nil, nil, "check-ref-format", c.Ref); err != nil {
		return nil, api.Errorf(api.CodeInvalid, "%q is not a valid name of a branch or tag", c.Ref).WithRemedy("use another name")
	}
	if c.New == zero {
		if c.Ref == Main {
			return nil, api.Errorf(api.CodeInvalid, "main is what the fleet should be and cannot be deleted").
				WithRemedy("push a commit that says what the fleet should be instead")
		}
		return nil, nil
	}
	if tag {
		return nil, nil
	}
	now, err := p.resolve(ctx, nil, c.Ref)
	if api.CodeOf(err) == api.CodeNotFound {
		now, err = zero, nil
	}
	if err != nil {
		return nil, err
	}
	if now != c.Old {
		return nil, api.Errorf(api.CodeConflict, "%s moved since you fetched", strings.TrimPrefix(c.Ref, "refs/heads/")).
			WithRemedy("take up what others pushed, then push again: git pull --rebase")
	}
	b := &Push{Ref: c.Ref, Pusher: p.pusher, Options: p.options, repo: p.Repo, q: p.q}
	if b.Commit, err = p.commit(ctx, p.q, c.New); err != nil || b.Commit.Hash != c.New {
		return nil, api.Errorf(api.CodeInvalid, "%s is not a commit", c.New)
	}
	if c.Old != zero {
		b.Old = c.Old
		if _, err := p.git(ctx, p.q, nil, "merge-base", "--is-ancestor", c.Old, c.New); err != nil {
			var bad *gitError
			if !errors.As(err, &bad) {
				return nil, err
			}
			b.Rewind = true
		}
	}
	if b.Rewind && b.IsMain() && !contains(p.options, OptionRewind) {
		return nil, api.Errorf(api.CodeInvalid, "main would lose commits that the fleet already has").
			WithRemedy("take them up and push again: git pull --rebase; to undo one, git revert it; to really go back, git push --force -o %s", OptionRewind)
	}
	return b, nil
}

func contains(list []string, want string) bool {
	for _, s := range list {
		if s == want {
			return true
		}
	}
	return false
}

// move changes the references, all or none, if they are still what the pusher saw.
func (p *pushing) move(ctx context.Context, commands []command) error {
	var in strings.Builder
	for _, c := range commands {
		if c.New == zero {
			fmt.Fprintf(&in, "delete %s\x00%s\x00", c.Ref, c.Old)
		} else {
			fmt.Fprintf(&in, "update %s\x00%s\x00%s\x00", c.Ref, c.New, c.Old)
		}
	}
	// From here on nobody's leaving may end it half-way.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	cmd := p.Repo.command(ctx, nil, "update-ref", "-m", "push", "--create-reflog", "-z", "--stdin")
	cmd.Env = append(cmd.Env, "GIT_COMMITTER_NAME="+person(p.pusher))
	cmd.Stdin = strings.NewReader(in.String())
	var errOut bytes.Buffer
	cmd.Stderr = &limitWriter{w: &errOut, left: 16 << 10, drop: true}
	if err := cmd.Run(); err != nil {
		return diskError(fmt.Errorf("cannot move the branches: %s", oneLine(errOut.String())))
	}
	return nil
}

// person is a name as git writes it into its logs.
func person(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune("<>,;:\"'\\", r) {
			return -1
		}
		return r
	}, s)
	if s = strings.Trim(s, " ."); s == "" {
		return "drover"
	}
	return s
}
