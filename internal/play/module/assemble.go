package module

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"drover/internal/play/machine"
	"drover/internal/play/pyre"
)

var assembleModule = &Module{
	Name: "assemble", FileArgs: true,
	Params: []Param{
		{Name: "src", Type: Path, Required: true}, {Name: "dest", Type: Path, Required: true}, {Name: "backup", Type: Bool, Default: false},
		{Name: "delimiter"}, {Name: "remote_src", Type: Bool, Default: true}, {Name: "regexp"}, {Name: "ignore_hidden", Type: Bool, Default: false},
		{Name: "validate"}, {Name: "decrypt", Type: Bool, Default: true},
	},
	Run: runAssemble,
}

// runAssemble makes a file of the pieces in a folder, in the order of their
// names. With remote_src=false the pieces come with the request (Sources).
func runAssemble(ctx context.Context, c *Call) *Result {
	h, src, dest := c.Host, c.Str("src"), c.Str("dest")
	var match *pyre.Regexp
	if c.Str("regexp") != "" {
		var bad *Result
		if match, bad = c.compileArg("regexp"); bad != nil {
			return bad
		}
	}
	wanted := func(name string) bool {
		if c.Bool("ignore_hidden") && strings.HasPrefix(name, ".") {
			return false
		}
		if match == nil {
			return true
		}
		ok, err := match.Match(name)
		return ok && err == nil
	}
	var pieces [][]byte
	if c.Sources != nil && !c.Bool("remote_src") {
		for i := range c.Sources {
			s := &c.Sources[i]
			if s.Dir || strings.Contains(s.Name, "/") || !wanted(s.Name) {
				continue
			}
			in, err := c.openSource(ctx, s)
			if err != nil {
				return Fail("%v", err)
			}
			b, err := io.ReadAll(in)
			in.Close()
			if err != nil {
				return Fail("%v", err)
			}
			pieces = append(pieces, b)
		}
	} else {
		fi, err := h.Stat(src)
		switch {
		case err != nil:
			return Fail("Source (%s) does not exist", src)
		case !fi.IsDir():
			return Fail("Source (%s) is not a directory", src)
		}
		list, err := os.ReadDir(h.Path(h.Realpath(src)))
		if err != nil {
			return Fail("cannot read %s: %s", src, reason(err))
		}
		for _, e := range list {
			p := filepath.Join(src, e.Name())
			if fi, err := h.Stat(p); err != nil || !fi.Mode().IsRegular() || !wanted(e.Name()) {
				continue
			}
			b, err := h.ReadFile(p)
			if err != nil {
				return Fail("cannot read %s: %s", p, reason(err))
			}
			pieces = append(pieces, b)
		}
	}
	b := joinPieces(pieces, c.Str("delimiter"))
	sum := machine.SumsOf(b)
	r := &Result{}
	p := placement{name: src, size: int64(len(b)), sha256: sum.SHA256, sha1: sum.SHA1, dest: dest, attrs: c.fileAttrs()}
	p.open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	c.place(ctx, r, p)
	if r.Failed {
		return r
	}
	r.Set("checksum", sum.SHA1).Set("md5sum", sum.MD5).Set("dest", dest).Set("src", src).Set("msg", "OK")
	return c.pathInfo(r, dest)
}

// joinPieces puts the delimiter, a line of its own, between pieces.
func joinPieces(pieces [][]byte, delimiter string) []byte {
	delimiter = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\\`, `\`).Replace(delimiter)
	var b bytes.Buffer
	for i, p := range pieces {
		if i > 0 {
			if b.Len() > 0 && b.Bytes()[b.Len()-1] != '\n' {
				b.WriteByte('\n')
			}
			if delimiter != "" {
				b.WriteString(delimiter)
				if !strings.HasSuffix(delimiter, "\n") {
					b.WriteByte('\n')
				}
			}
		}
		b.Write(p)
	}
	return b.Bytes()
}
