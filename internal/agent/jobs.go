package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"sync"
	"syscall"
	"time"

	"drover/api"
	"drover/internal/link"
)

const (
	defaultJobTime = time.Hour       // of a job without a deadline
	killGrace      = 2 * time.Second // between the polite and the other signal
	maxJobOutput   = 64 << 20        // bytes of one job's output that are sent
	outputPiece    = 32 << 10
)

// jobRunner runs jobs and play sessions, each ID once.
type jobRunner struct {
	agent *Agent
	log   *jobLog

	mu      sync.Mutex
	running map[string]*job
	stopped bool
	wg      sync.WaitGroup
}

type job struct {
	end  context.CancelCauseFunc
	pipe *link.Pipe // of a session
}

func newJobRunner(a *Agent) *jobRunner {
	return &jobRunner{agent: a, log: a.state.jobs, running: make(map[string]*job)}
}

var (
	errCancelled = errors.New("cancelled")
	errDeadline  = errors.New("it took longer than its timeout")
	errEnding    = errors.New("the agent was told to end")
)

// start runs j unless it ran before. It returns at once.
func (r *jobRunner) start(ctx context.Context, j *api.Job) {
	if j.Deadline.IsZero() {
		j.Deadline = time.Now().Add(defaultJobTime)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || r.running[j.ID] != nil {
		return
	}
	refuse := func(why string) { r.answer(ctx, &api.JobDone{ID: j.ID, Exit: -1, Error: why}) }
	switch {
	case j.ID == "":
		r.agent.log.Warn("a job without an ID is ignored")
		return
	case !time.Now().Before(j.Deadline):
		refuse(errDeadline.Error())
		return
	case len(r.running) >= r.agent.cfg.Jobs:
		refuse(fmt.Sprintf("%d jobs run on this host already; try again later", len(r.running)))
		return
	case j.Session && r.agent.cfg.Session == nil:
		refuse("this agent has no play sessions")
		return
	}
	first, before, err := r.log.start(j.ID, j.Deadline)
	switch {
	case err != nil:
		refuse(err.Error())
		return
	case !first && before.Done:
		r.answer(ctx, &api.JobDone{ID: j.ID, Exit: before.Exit, Error: before.Error})
		return
	case !first:
		refuse("the agent ended while the job ran; how far it came is unknown")
		return
	}

	jobCtx, end := context.WithCancelCause(ctx)
	jobCtx, stop := context.WithDeadlineCause(jobCtx, j.Deadline, errDeadline)
	run := &job{end: end}
	if j.Session {
		conn, _ := r.agent.line.get()
		run.pipe = link.NewPipe(jobCtx, j.ID, func(ctx context.Context, f *api.Frame) error {
			if conn == nil {
				return errors.New("the line is gone")
			}
			return conn.Send(ctx, &api.ToServer{Session: f})
		})
	}
	r.running[j.ID] = run
	r.wg.Go(func() {
		defer stop()
		defer end(nil)
		var exit int
		var problem string
		if j.Session {
			exit, problem = r.session(jobCtx, j, run.pipe)
		} else {
			exit, problem = r.command(jobCtx, j)
		}
		if err := r.log.finish(j.ID, exit, problem); err != nil {
			r.agent.log.Error("cannot record the end of a job", "id", j.ID, "error", err)
		}
		r.mu.Lock()
		delete(r.running, j.ID)
		r.mu.Unlock()
		r.send(ctx, &api.JobDone{ID: j.ID, Exit: exit, Error: problem})
	})
}

// answer sends d without keeping the line's reader.
func (r *jobRunner) answer(ctx context.Context, d *api.JobDone) {
	r.wg.Go(func() { r.send(ctx, d) })
}

func (r *jobRunner) send(ctx context.Context, d *api.JobDone) {
	if err := r.agent.send(ctx, &api.ToServer{Done: d}); err != nil && ctx.Err() == nil {
		r.agent.log.Warn("cannot report the end of a job", "id", d.ID, "error", err)
	}
}

func (r *jobRunner) cancel(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.running[id]; j != nil {
		j.end(errCancelled)
	}
}

func (r *jobRunner) frame(_ context.Context, f *api.Frame) {
	r.mu.Lock()
	j := r.running[f.ID]
	r.mu.Unlock()
	if j != nil && j.pipe != nil {
		j.pipe.Deliver(f)
	}
}

// breakSessions ends the sessions when their line ends: bytes may be missing.
func (r *jobRunner) breakSessions() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.running {
		if j.pipe != nil {
			j.end(errors.New("the line to the server broke"))
		}
	}
}

// idle reports whether nothing runs.
func (r *jobRunner) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.running) == 0
}

// stop ends all jobs and waits for them.
func (r *jobRunner) stop() {
	r.mu.Lock()
	r.stopped = true
	for _, j := range r.running {
		j.end(errEnding)
	}
	r.mu.Unlock()
	r.wg.Wait()
}

func (r *jobRunner) session(ctx context.Context, j *api.Job, p *link.Pipe) (exit int, problem string) {
	defer func() {
		if v := recover(); v != nil {
			r.agent.log.Error("a play session panicked", "panic", v)
			exit, problem = -1, fmt.Sprintf("a fault of ours: %v", v)
		}
	}()
	defer p.Close()
	if err := r.agent.cfg.Session(ctx, p, j); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return -1, err.Error()
	}
	return 0, ""
}

// command runs a job's command by the shell, in a process group of its own, so
// that its end is the end of all that it started.
func (r *jobRunner) command(ctx context.Context, j *api.Job) (exit int, problem string) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", j.Command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := runAs(cmd, j.User); err != nil {
		return -1, err.Error()
	}
	for k, v := range j.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	quota := &quota{left: maxJobOutput}
	cmd.Stdout = &outputWriter{agent: r.agent, ctx: ctx, id: j.ID, quota: quota}
	cmd.Stderr = &outputWriter{agent: r.agent, ctx: ctx, id: j.ID, quota: quota, stderr: true}
	ended := make(chan struct{})
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		err := syscall.Kill(group, syscall.SIGTERM)
		r.wg.Go(func() {
			timer := time.NewTimer(killGrace)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ended:
			}
			// Also after the shell ended by itself: what it left behind goes too.
			_ = syscall.Kill(group, syscall.SIGKILL)
		})
		return err
	}
	// A daemon that the job started may keep its output open.
	cmd.WaitDelay = killGrace + time.Second
	if err := cmd.Start(); err != nil {
		return -1, fmt.Sprintf("cannot start: %v", err)
	}
	err := cmd.Wait()
	close(ended)
	if cause := context.Cause(ctx); cause != nil {
		problem = cause.Error()
	} else if err != nil && cmd.ProcessState == nil {
		problem = err.Error()
	}
	if cmd.ProcessState == nil {
		return -1, problem // nothing is known of its end
	}
	if s, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal()), problem
	}
	return cmd.ProcessState.ExitCode(), problem
}

// runAs gives cmd the user's rights, home and a plain environment.
func runAs(cmd *exec.Cmd, name string) error {
	self, err := user.Current()
	if err != nil {
		return fmt.Errorf("cannot run a job: %w", err)
	}
	u := self
	if name != "" && name != self.Username {
		if u, err = user.Lookup(name); err != nil {
			return fmt.Errorf("cannot run as user %s: %w", name, err)
		}
		cred := &syscall.Credential{}
		ids := []*uint32{&cred.Uid, &cred.Gid}
		for i, s := range []string{u.Uid, u.Gid} {
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return fmt.Errorf("cannot run as user %s: id %q", name, s)
			}
			*ids[i] = uint32(n)
		}
		groups, err := u.GroupIds()
		if err != nil {
			return fmt.Errorf("cannot run as user %s: %w", name, err)
		}
		for _, g := range groups {
			if n, err := strconv.ParseUint(g, 10, 32); err == nil {
				cred.Groups = append(cred.Groups, uint32(n))
			}
		}
		cmd.SysProcAttr.Credential = cred
	}
	cmd.Dir = "/"
	if info, err := os.Stat(u.HomeDir); err == nil && info.IsDir() {
		cmd.Dir = u.HomeDir
	}
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + cmd.Dir,
		"USER=" + u.Username, "LOGNAME=" + u.Username, "SHELL=/bin/sh", "LANG=C.UTF-8"}
	return nil
}

// quota bounds the output of one job, both streams together.
type quota struct {
	mu   sync.Mutex
	left int
	told bool
}

func (q *quota) take(n int) (allowed int, tell bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	allowed = min(n, q.left)
	q.left -= allowed
	tell = allowed < n && !q.told
	q.told = q.told || tell
	return allowed, tell
}

// outputWriter sends a job's output as it comes. When the line is slow or away
// the job waits in its write, until its deadline.
type outputWriter struct {
	agent  *Agent
	ctx    context.Context
	id     string
	stderr bool
	quota  *quota
}

func (w *outputWriter) Write(b []byte) (int, error) {
	allowed, tell := w.quota.take(len(b))
	for rest := b[:allowed]; len(rest) > 0; {
		n := min(len(rest), outputPiece)
		w.put(rest[:n], w.stderr)
		rest = rest[n:]
	}
	if tell {
		w.put(fmt.Appendf(nil, "\n[drover: the output is longer than %d bytes; the rest is left out]\n", maxJobOutput), true)
	}
	return len(b), nil // an error would end the job by SIGPIPE
}

func (w *outputWriter) put(data []byte, stderr bool) {
	o := &api.JobOutput{ID: w.id, Stderr: stderr, Data: append([]byte(nil), data...)}
	_ = w.agent.send(w.ctx, &api.ToServer{Output: o}) // fails when the job is over
}

// SessionAs serves a session by a program that runs as user.
func SessionAs(ctx context.Context, rw Stream, user string, argv []string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := runAs(cmd, user); err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout = rw, rw
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killGrace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the play session as %s ended: %w", user, err)
	}
	return nil
}
