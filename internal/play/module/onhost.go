package module

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/play/machine"
	"drover/internal/play/param"
)

// The host and what is run on it, so that a module's file reads plainly.
type (
	Host    = machine.Host
	Cmd     = machine.Cmd
	Output  = machine.Output
	Account = machine.Account
	Group   = machine.Group
)

// writeOptions says how a file is replaced.
type writeOptions struct {
	attrs    *machine.Attrs
	unsafe   bool
	validate string // command with %s, run on the new file before it is put in place
}

// write options of the common parameters.
func (c *Call) writeOptions() writeOptions {
	return writeOptions{attrs: c.fileAttrs(), unsafe: c.Bool("unsafe_writes"), validate: c.Str("validate")}
}

// writeFile replaces a file as the common parameters say. A failed validation
// is a failed result.
func (c *Call) writeFile(ctx context.Context, path string, data []byte, o writeOptions) *Result {
	s, err := c.Host.Stage(path, true)
	if err != nil {
		return Fail("cannot write %s: %v", path, err)
	}
	defer s.Abort()
	if _, err := s.Write(data); err != nil {
		return Fail("cannot write %s: %v", path, err)
	}
	if bad := c.validate(ctx, o, s.TempPath()); bad != nil {
		return bad
	}
	if err := s.Commit(o.attrs, o.unsafe); err != nil {
		return Fail("%v", err)
	}
	return nil
}

// validate runs the command of the parameter validate on a file.
func (c *Call) validate(ctx context.Context, o writeOptions, file string) *Result {
	if o.validate == "" {
		return nil
	}
	if !strings.Contains(o.validate, "%s") {
		return Fail("validate must contain %%s: %s", o.validate)
	}
	argv, err := param.SplitWords(strings.ReplaceAll(o.validate, "%s", param.Quote(file)))
	if err != nil {
		return Fail("cannot read validate: %v", err)
	}
	out, err := c.Host.Run(ctx, Cmd{Argv: argv, Env: c.Env})
	if err != nil {
		return Fail("failed to validate: %v", err)
	}
	if out.Code != 0 {
		r := Fail("failed to validate: rc:%d error:%s", out.Code, out.Stderr)
		r.Set("exit_status", out.Code).Set("stdout", string(out.Stdout)).Set("stderr", string(out.Stderr))
		return r
	}
	return nil
}

// backup copies a file beside itself, by the name Ansible gives copies.
func (c *Call) backup(path string) (string, error) {
	name := fmt.Sprintf("%s.%d.%s~", path, os.Getpid(), c.Host.Time().Format("2006-01-02@15:04:05"))
	src, err := c.Host.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	defer src.Close()
	fi, err := src.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	s, err := c.Host.StageAs(c.Host.Path(name), filepath.Base(path)+"~")
	if err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	defer s.Abort()
	if _, err := io.Copy(s, src); err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	st := machine.RawStat(fi)
	a := &machine.Attrs{Mode: int64(st.Mode & 0o7777), UID: int(st.Uid), GID: int(st.Gid), HaveIDs: true}
	if err := s.Commit(a, false); err != nil {
		return "", fmt.Errorf("cannot back up %s: %w", path, err)
	}
	_ = os.Chtimes(s.Dest, fi.ModTime(), fi.ModTime())
	return name, nil
}

// fileAttrs are the file attributes in the arguments.
func (c *Call) fileAttrs() *machine.Attrs {
	a := &machine.Attrs{Owner: c.Str("owner"), Group: c.Str("group"), Attributes: c.Str("attributes"),
		SELinux: [4]string{c.Str("seuser"), c.Str("serole"), c.Str("setype"), c.Str("selevel")}}
	if m := c.Raw("mode"); m != nil && m != "" && m != "preserve" {
		a.Mode = m
	}
	return a
}

// pathInfo adds owner, group, mode, size and state of path to a result, as every
// module that returns a path or dest does.
func (c *Call) pathInfo(r *Result, path string) *Result {
	fi, err := c.Host.Lstat(path)
	if err != nil {
		if !c.Check || r.Values["state"] == nil {
			r.Set("state", "absent")
		}
		return r
	}
	st := machine.RawStat(fi)
	r.Set("uid", int64(st.Uid)).Set("gid", int64(st.Gid)).Set("mode", machine.ModeString(st.Mode)).Set("size", fi.Size())
	r.Set("owner", c.Host.OwnerName(int(st.Uid))).Set("group", c.Host.GroupName(int(st.Gid)))
	return r.Set("state", c.Host.State(path))
}

// openSource opens the content that came with the request; what is fetched is
// checked against its hash when it has been read to the end.
func (c *Call) openSource(ctx context.Context, s *Source) (io.ReadCloser, error) {
	if s.Inline || s.Content != nil || s.Size == 0 {
		return io.NopCloser(bytes.NewReader(s.Content)), nil
	}
	if c.Fetch == nil {
		return nil, fmt.Errorf("cannot get the content of %s: nobody to ask for it", s.Name)
	}
	rc, err := c.Fetch(ctx, s.SHA256)
	if err != nil {
		return nil, fmt.Errorf("cannot get the content of %s: %w", s.Name, err)
	}
	return &hashedReader{rc: rc, sum: sha256.New(), want: s.SHA256, name: s.Name}, nil
}

type hashedReader struct {
	rc  io.ReadCloser
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	want string
	name string
}

func (r *hashedReader) Read(b []byte) (int, error) {
	n, err := r.rc.Read(b)
	r.sum.Write(b[:n])
	if err == io.EOF && r.want != "" && hex.EncodeToString(r.sum.Sum(nil)) != r.want {
		return n, fmt.Errorf("cannot get the content of %s: it arrived damaged", r.name)
	}
	return n, err
}

func (r *hashedReader) Close() error { return r.rc.Close() }
