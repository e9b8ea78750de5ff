package engine

import (
	"context"
	"drover/internal/play/inventory"
	"drover/internal/play/source"
	"fmt"
	"strings"
	"sync"
	"time"

	"drover/internal/play/module"
	"drover/internal/play/value"
)

// connPool keeps one session a target.
type connPool struct {
	mu sync.Mutex
	m  map[connKey]*pooled
}

type connKey struct {
	host, address, user, connection, key, become, password string
	port                                                   int
}

type pooled struct {
	ready chan struct{}
	conn  Conn
	err   error
}

func keyOf(t Target) connKey {
	k := connKey{host: t.Host, address: t.Address, user: t.User, connection: t.Connection, key: t.KeyFile, port: t.Port}
	if t.Become.Password != "" || t.Become.Method != "sudo" {
		k.become = t.Become.Method + t.Become.Flags + t.Become.Exe
		k.password = t.Become.Password
	}
	return k
}

func (p *connPool) get(ctx context.Context, c Connector, t Target) (Conn, error) {
	k := keyOf(t)
	p.mu.Lock()
	if p.m == nil {
		p.m = map[connKey]*pooled{}
	}
	e := p.m[k]
	if e == nil {
		e = &pooled{ready: make(chan struct{})}
		p.m[k] = e
		p.mu.Unlock()
		e.conn, e.err = c.Connect(ctx, t)
		if e.err != nil {
			p.mu.Lock()
			delete(p.m, k)
			p.mu.Unlock()
		}
		close(e.ready)
		return e.conn, e.err
	}
	p.mu.Unlock()
	select {
	case <-e.ready:
		return e.conn, e.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// drop closes a session that no longer answers; the next task opens another.
func (p *connPool) drop(t Target, conn Conn) {
	p.mu.Lock()
	if e := p.m[keyOf(t)]; e != nil && e.conn == conn {
		delete(p.m, keyOf(t))
	}
	p.mu.Unlock()
	conn.Close()
}

// reset closes the sessions of a host.
func (p *connPool) reset(host string) {
	p.mu.Lock()
	var old []*pooled
	for k, e := range p.m {
		if k.host == host {
			old = append(old, e)
			delete(p.m, k)
		}
	}
	p.mu.Unlock()
	for _, e := range old {
		<-e.ready
		if e.conn != nil {
			e.conn.Close()
		}
	}
}

func (p *connPool) close() {
	p.mu.Lock()
	all := p.m
	p.m = nil
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, e := range all {
		wg.Add(1)
		go func() {
			defer wg.Done()
			<-e.ready
			if e.conn != nil {
				e.conn.Close()
			}
		}()
	}
	wg.Wait()
}

// connect opens, or finds open, the session for a task.
func (r *run) connect(s *scope, o *outcome, h *hostState, delegated bool) (Conn, Target, error) {
	t, err := r.target(s, o, h, delegated)
	if err != nil {
		return nil, t, err
	}
	if r.o.Connector == nil {
		return nil, t, fmt.Errorf("cannot connect to %s: the run has no connector", h.name)
	}
	conn, err := r.conns.get(r.ctx, r.o.Connector, t)
	return conn, t, err
}

// target works out how to reach a host: its variables win over keywords, these
// over options.
func (r *run) target(s *scope, o *outcome, h *hostState, delegated bool) (Target, error) {
	t := Target{Host: h.name, HostKeyChecking: !r.o.NoHostKeys, Timeout: r.o.Timeout, Open: r.sources.open}
	vs := s
	if delegated {
		vs = r.hostScope(s.ctx, s.pr, h)
	}
	var bad error
	get := func(names ...string) string {
		for _, n := range names {
			v, ok, err := vs.Var(n)
			if err != nil {
				bad = fmt.Errorf("cannot work out %s: %w", n, err)
				continue
			}
			if !ok || v == nil {
				continue
			}
			if u, undef := v.(*value.Undefined); undef {
				bad = u.Use()
				continue
			}
			if _, gone := v.(omitted); gone {
				continue
			}
			return value.Str(v)
		}
		return ""
	}
	keyword := func(k string) string {
		x, err := s.text(o.t.attrs[k])
		if err != nil {
			bad = err
		}
		return x
	}
	first := func(vals ...string) string {
		for _, v := range vals {
			if v != "" {
				return v
			}
		}
		return ""
	}
	kwConn := keyword("connection")
	if delegated && !o.t.local && !inventory.IsLocalName(h.name) && kwConn == "local" {
		kwConn = ""
	}
	t.Connection = shortAction(first(get("ansible_connection"), kwConn, r.o.Connection))
	if t.Connection == "smart" || t.Connection == "paramiko" || t.Connection == "ssh" {
		t.Connection = ""
	}
	t.Address = first(get("ansible_host", "ansible_ssh_host"), h.name)
	if p := first(get("ansible_port", "ansible_ssh_port"), keyword("port")); p != "" {
		n, ok := source.Int(p)
		if !ok {
			return t, fmt.Errorf("ansible_port is %q, not a number", p)
		}
		t.Port = int(n)
	}
	t.User = first(get("ansible_user", "ansible_ssh_user"), keyword("remote_user"), r.o.User)
	t.Password = first(get("ansible_password", "ansible_ssh_pass", "ansible_ssh_password"), r.o.Password)
	t.KeyFile = first(get("ansible_ssh_private_key_file", "ansible_private_key_file"), r.o.PrivateKey)
	t.SSHArgs = strings.TrimSpace(first(get("ansible_ssh_common_args"), r.o.SSHArgs) + " " + get("ansible_ssh_extra_args"))
	if b, ok := source.Bool(get("ansible_host_key_checking", "ansible_ssh_host_key_checking")); ok {
		t.HostKeyChecking = b
	}
	if t.Connection == "" {
		t.Connection = "ssh"
	}
	b := r.o.Become
	if on, ok, err := s.flag(&o.t.common, "become"); err != nil {
		return t, err
	} else if ok {
		b.Enabled = on
	}
	if on, ok := source.Bool(get("ansible_become")); ok {
		b.Enabled = on
	}
	b.User = first(get("ansible_become_user"), keyword("become_user"), b.User, "root")
	b.Method = shortAction(first(get("ansible_become_method"), keyword("become_method"), b.Method, "sudo"))
	b.Password = first(get("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass"), b.Password)
	b.Flags = first(get("ansible_become_flags"), keyword("become_flags"), b.Flags)
	b.Exe = first(get("ansible_become_exe"), keyword("become_exe"), b.Exe)
	t.Become = b
	return t, bad
}

// jobs are tasks with poll: 0: they end before the run does.
type jobs struct {
	wg sync.WaitGroup
	mu sync.Mutex
	m  map[string]*job
	n  int
}

type job struct {
	done chan struct{}
	res  *module.Result
	err  error
}

func (j *jobs) wait() { j.wg.Wait() }

// asyncStart runs a module in the background when async and poll: 0 say so.
// It reports whether it did.
func (r *run) asyncStart(s *scope, o *outcome, conn Conn, req *module.Request) bool {
	secs, err := s.number(o.t.async, 0)
	if err != nil || secs <= 0 || req.Check {
		return false
	}
	poll, err := s.number(o.t.poll, 15)
	j := &job{done: make(chan struct{})}
	ctx, stop := context.WithTimeout(r.ctx, time.Duration(secs*float64(time.Second)))
	if err != nil || poll > 0 {
		defer stop()
		res, err := conn.Run(ctx, req)
		switch {
		case err != nil && ctx.Err() != nil && r.ctx.Err() == nil:
			o.res = failure("async task did not complete within the requested time - %ds", int(secs))
		case err != nil:
			_ = r.unreachable(o, err)
		default:
			r.take(o, res)
			o.res.Set("finished", true)
			o.res.Set("started", true)
		}
		return true
	}
	r.jobs.mu.Lock()
	r.jobs.n++
	id := fmt.Sprintf("j%d.%d", r.o.Now().UnixNano()%1e12, r.jobs.n)
	if r.jobs.m == nil {
		r.jobs.m = map[string]*job{}
	}
	r.jobs.m[id] = j
	r.jobs.mu.Unlock()
	r.jobs.wg.Add(1)
	go func() {
		defer r.jobs.wg.Done()
		defer stop()
		j.res, j.err = conn.Run(ctx, req)
		close(j.done)
	}()
	o.res = value.DictOf("ansible_job_id", id, "changed", true, "finished", false, "started", true, "results_file", "/root/.ansible_async/"+id)
	return true
}

// asyncStatus answers the module of that name.
func (r *run) asyncStatus(o *outcome, args *value.Dict) error {
	v, _ := args.GetString("jid")
	id := value.Str(v)
	r.jobs.mu.Lock()
	j := r.jobs.m[id]
	r.jobs.mu.Unlock()
	if j == nil {
		o.res = failure("could not find job")
		o.res.Set("ansible_job_id", id)
		o.res.Set("started", true)
		o.res.Set("finished", true)
		o.res.Set("results_file", "/root/.ansible_async/"+id)
		for _, k := range []string{"stdout", "stderr"} {
			o.res.Set(k, "")
			o.res.Set(k+"_lines", &value.List{})
		}
		return nil
	}
	if mode, _ := args.GetString("mode"); mode == "cleanup" {
		o.res = value.DictOf("ansible_job_id", id, "changed", false, "erased", "/root/.ansible_async/"+id)
		return nil
	}
	select {
	case <-j.done:
	default:
		o.res = value.DictOf("ansible_job_id", id, "changed", false, "finished", false, "started", true)
		return nil
	}
	if j.err != nil {
		o.res = failure("the job did not finish: %v", j.err)
	} else {
		r.take(o, j.res)
	}
	o.res.Set("ansible_job_id", id)
	o.res.Set("finished", true)
	o.res.Set("started", true)
	return nil
}
