// Package repo keeps the fleet's Git repository and serves it over Git's smart
// HTTP protocol. Fetching is git's own upload-pack. Receiving is done here, on
// top of git's plumbing: objects land in a quarantine beside the repository, a
// Judge reads the new commits there, and only when it agrees do the objects
// and then the references move, in one transaction. What was refused, cut off
// or killed leaves nothing but a folder that the next Open removes.
package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"drover/api"
	"drover/internal/tree"
)

// Main is the branch that is the fleet's desired state.
const Main = "refs/heads/main"

// Options of a repository. The zero value is right.
type Options struct {
	MaxPush int64 // bytes of one push; 50 MiB if 0
	Tree    tree.Limits
	Pushes  int // received at once; 4 if 0
	Log     *slog.Logger
}

// Repo is an open bare repository. One process has it open.
type Repo struct {
	dir     string
	o       Options
	pushes  chan struct{} // one place for each push being received
	write   chan struct{} // held while references are judged and moved
	mu      sync.Mutex
	objects map[string][]byte // files of the tree read last, by object id
}

// Commit is what is worth knowing of one commit.
type Commit struct {
	Hash, Parent    string // Parent is the first one, "" for none
	Subject, Author string // Author is "Name <mail>"
	When            time.Time
}

// Open opens the repository in dir, making it if there is none.
func Open(ctx context.Context, dir string, o Options) (*Repo, error) {
	if o.MaxPush <= 0 {
		o.MaxPush = 50 << 20
	}
	if o.Pushes <= 0 {
		o.Pushes = 4
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	r := &Repo{dir: dir, o: o, pushes: make(chan struct{}, o.Pushes), write: make(chan struct{}, 1)}
	if _, err := exec.LookPath("git"); err != nil {
		return nil, fmt.Errorf("cannot keep the fleet repository: git is not installed; install it, on Debian with `apt-get install git`")
	}
	// init is safe to repeat, and mends what an interrupted first start left.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the fleet repository: %w", err)
	}
	if _, err := r.git(ctx, nil, nil, "init", "--quiet", "--bare", "--initial-branch=main", "."); err != nil {
		return nil, fmt.Errorf("cannot make the fleet repository in %s: %w", dir, err)
	}
	for _, kv := range [][2]string{
		{"core.fsync", "all"}, {"core.fsyncMethod", "fsync"}, // an accepted push is on the disk
		{"core.logAllRefUpdates", "always"}, // the log of a reference keeps who pushed
		{"gc.autoDetach", "false"}, {"gc.pruneExpire", "2.weeks.ago"}, {"gc.reflogExpire", "never"},
		{"transfer.hideRefs", "refs/drover"}, {"uploadpack.allowFilter", "true"},
	} {
		if _, err := r.git(ctx, nil, nil, "config", kv[0], kv[1]); err != nil {
			return nil, fmt.Errorf("cannot configure the fleet repository in %s: %w", dir, err)
		}
	}
	if err := r.sweep(); err != nil {
		return nil, err
	}
	return r, nil
}

// sweep removes what killed pushes left: quarantines, and locks that nobody holds.
func (r *Repo) sweep() error {
	if err := os.RemoveAll(r.incoming()); err != nil {
		return fmt.Errorf("cannot clean the fleet repository: %w", err)
	}
	err := filepath.WalkDir(filepath.Join(r.dir, "refs"), func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(p, ".lock") {
			err = os.Remove(p)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot clean the fleet repository: %w", err)
	}
	for _, lock := range []string{"packed-refs.lock", "HEAD.lock", "config.lock", "gc.pid", "gc.pid.lock"} {
		if err := os.Remove(filepath.Join(r.dir, lock)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot clean the fleet repository: %w", err)
		}
	}
	return nil
}

func (r *Repo) incoming() string { return filepath.Join(r.dir, "incoming") }

// Dir is the repository's folder.
func (r *Repo) Dir() string { return r.dir }

// maxOutput bounds what a git command may answer into memory.
const maxOutput = 64 << 20

// git runs one git command in the repository and returns its output. quarantine,
// if set, is where new objects are.
func (r *Repo) git(ctx context.Context, q *quarantine, in io.Reader, args ...string) ([]byte, error) {
	var out, errOut bytes.Buffer
	cmd := r.command(ctx, q, args...)
	cmd.Stdin = in
	cmd.Stdout = &limitWriter{w: &out, left: maxOutput}
	cmd.Stderr = &limitWriter{w: &errOut, left: 16 << 10, drop: true}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &gitError{args: args, err: err, stderr: strings.TrimSpace(errOut.String())}
	}
	return out.Bytes(), nil
}

type gitError struct {
	args   []string
	err    error
	stderr string
}

func (e *gitError) Unwrap() error { return e.err }
func (e *gitError) Error() string {
	msg := e.stderr
	if msg == "" {
		msg = e.err.Error()
	}
	return fmt.Sprintf("git %s: %s", e.args[0], msg)
}

// command is git in the repository, with an environment that no setting of
// the machine or of its users leaks into.
func (r *Repo) command(ctx context.Context, q *quarantine, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = r.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir, "LC_ALL=C", "GIT_DIR=.", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0", "GIT_COMMITTER_NAME=drover", "GIT_COMMITTER_EMAIL=drover@localhost", "GIT_NO_REPLACE_OBJECTS=1"}
	if q != nil {
		cmd.Env = append(cmd.Env, "GIT_OBJECT_DIRECTORY="+q.objects, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(r.dir, "objects"))
	}
	cmd.Cancel = func() error { return cmd.Process.Kill() }
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

type limitWriter struct {
	w    io.Writer
	left int
	drop bool // leave out what is over the limit instead of failing
}

func (l *limitWriter) Write(p []byte) (int, error) {
	if len(p) > l.left {
		if !l.drop {
			return 0, errors.New("the answer is too large")
		}
		n := len(p)
		_, err := l.w.Write(p[:l.left])
		l.left = 0
		return n, err
	}
	l.left -= len(p)
	return l.w.Write(p)
}

var hashForm = regexp.MustCompile(`^[0-9a-f]{40}$`)

// zero is how the protocol writes "no object".
const zero = "0000000000000000000000000000000000000000"

// Resolve gives the commit that a branch, tag or (shortened) hash names;
// CodeNotFound if there is none.
func (r *Repo) Resolve(ctx context.Context, name string) (string, error) {
	return r.resolve(ctx, nil, name)
}

func (r *Repo) resolve(ctx context.Context, q *quarantine, name string) (string, error) {
	if strings.HasPrefix(name, "-") || strings.ContainsAny(name, " \t\n:^~@{}[]*?\\") {
		return "", api.Errorf(api.CodeInvalid, "%q is not the name of a revision", name).WithRemedy("give a commit's hash, a branch or a tag")
	}
	out, err := r.git(ctx, q, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		var bad *gitError
		if errors.As(err, &bad) {
			return "", api.Errorf(api.CodeNotFound, "there is no revision %q in the fleet repository", name).WithRemedy("push it first: git push")
		}
		return "", err
	}
	return strings.TrimSpace(string(out)), nil
}

// Head is the commit of main, "" while there is none.
func (r *Repo) Head(ctx context.Context) (string, error) {
	hash, err := r.resolve(ctx, nil, Main)
	if api.CodeOf(err) == api.CodeNotFound {
		return "", nil
	}
	return hash, err
}

// Commit describes a commit by its hash.
func (r *Repo) Commit(ctx context.Context, hash string) (Commit, error) {
	return r.commit(ctx, nil, hash)
}

func (r *Repo) commit(ctx context.Context, q *quarantine, hash string) (Commit, error) {
	if !hashForm.MatchString(hash) {
		return Commit{}, api.Errorf(api.CodeInvalid, "%q is not the hash of a commit", hash)
	}
	out, err := r.git(ctx, q, nil, "show", "--no-patch", "--format=%H%x00%P%x00%s%x00%an <%ae>%x00%cI", hash)
	if err != nil {
		return Commit{}, fmt.Errorf("cannot read commit %s: %w", hash, err)
	}
	parts := strings.Split(strings.TrimRight(string(out), "\n"), "\x00")
	if len(parts) != 5 {
		return Commit{}, fmt.Errorf("cannot read commit %s: git answered %q", hash, out)
	}
	parent, _, _ := strings.Cut(parts[1], " ")
	when, err := time.Parse(time.RFC3339, parts[4])
	if err != nil {
		when = time.Time{} // a commit may carry any date; it is for people only
	}
	return Commit{Hash: parts[0], Parent: parent, Subject: cut(parts[2], 200), Author: cut(parts[3], 200), When: when.UTC()}, nil
}

func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "�")
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// Pusher is who moved main to where it is, from the log of the reference.
func (r *Repo) Pusher(ctx context.Context) string {
	out, err := r.git(ctx, nil, nil, "log", "--walk-reflogs", "--max-count=1", "--format=%gn", Main)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Tree reads all files of a commit into memory.
func (r *Repo) Tree(ctx context.Context, hash string) (*tree.Tree, error) {
	return r.tree(ctx, nil, hash)
}

func (r *Repo) tree(ctx context.Context, q *quarantine, hash string) (*tree.Tree, error) {
	if !hashForm.MatchString(hash) {
		return nil, api.Errorf(api.CodeInvalid, "%q is not the hash of a commit", hash)
	}
	list, err := r.git(ctx, q, nil, "ls-tree", "-r", "-z", "-l", "--full-tree", hash)
	if err != nil {
		return nil, fmt.Errorf("cannot list the files of commit %s: %w", hash, err)
	}
	entries, err := parseTree(list)
	if err != nil {
		return nil, err
	}
	b := tree.NewBuilder(r.o.Tree)
	var size int64
	for _, e := range entries {
		size += e.size
	}
	if err := b.Reserve(len(entries), size); err != nil {
		return nil, err
	}
	content, err := r.read(ctx, q, entries)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f := tree.File{Path: e.path, Exec: e.mode == "100755", Data: content[e.object]}
		if e.mode == "120000" {
			f.Link, f.Data = string(f.Data), nil
		}
		if err := b.Add(f); err != nil {
			return nil, err
		}
	}
	return b.Tree()
}

type treeEntry struct {
	mode, object, path string
	size               int64
}

// parseTree reads what `git ls-tree -r -z -l` prints.
func parseTree(list []byte) ([]treeEntry, error) {
	var out []treeEntry
	for line := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		if line == "" {
			continue
		}
		head, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(head)
		if !ok || len(f) != 4 {
			return nil, fmt.Errorf("cannot list the tree: git answered %q", line)
		}
		e := treeEntry{mode: f[0], object: f[2], path: name}
		if f[1] != "blob" {
			return nil, &api.Error{Code: api.CodeInvalid, Message: "it is a submodule, which hosts could not fetch", Place: &api.Place{File: name},
				Remedy: "put the files themselves into the repository: git rm --cached " + name + ", remove its .git folder, git add " + name}
		}
		if _, err := fmt.Sscan(f[3], &e.size); err != nil {
			return nil, fmt.Errorf("cannot list the tree: git answered %q", line)
		}
		out = append(out, e)
	}
	return out, nil
}

// read gives the entries' content by object id. What the tree before had in
// common is in memory already.
func (r *Repo) read(ctx context.Context, q *quarantine, entries []treeEntry) (map[string][]byte, error) {
	r.mu.Lock()
	known := r.objects
	r.mu.Unlock()
	content := make(map[string][]byte, len(entries))
	var ask bytes.Buffer
	var missing []treeEntry
	for _, e := range entries {
		if _, twice := content[e.object]; twice {
			continue
		}
		data, ok := known[e.object]
		if !ok {
			ask.WriteString(e.object + "\n")
			missing = append(missing, e)
		}
		content[e.object] = data
	}
	if len(missing) > 0 {
		if err := r.catFile(ctx, q, &ask, missing, content); err != nil {
			return nil, err
		}
	}
	r.mu.Lock()
	r.objects = content
	r.mu.Unlock()
	return content, nil
}

func (r *Repo) catFile(ctx context.Context, q *quarantine, ask io.Reader, missing []treeEntry, content map[string][]byte) error {
	cmd := r.command(ctx, q, "cat-file", "--batch", "--buffer")
	cmd.Stdin = ask
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot read the tree: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot read the tree: %w", err)
	}
	readErr := readBatch(out, missing, content)
	if readErr != nil {
		_ = cmd.Process.Kill() // it would wait for ever to be read
	}
	if err := cmd.Wait(); readErr == nil && err != nil {
		readErr = fmt.Errorf("cannot read the tree: %w", err)
	}
	return readErr
}
