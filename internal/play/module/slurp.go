package module

import (
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
)

var slurpModule = &Module{
	Name:   "slurp",
	Params: []Param{{Name: "src", Aliases: []string{"path"}, Type: Path, Required: true}},
	Run: func(_ context.Context, c *Call) *Result {
		src := c.Str("src")
		b, err := c.Host.ReadFile(src)
		if err != nil {
			fi, serr := c.Host.Stat(src)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return Fail("file not found: %s", src)
			case errors.Is(err, fs.ErrPermission):
				return Fail("file is not readable: %s", src)
			case serr == nil && fi.IsDir():
				return Fail("source is a directory and must be a file: %s", src)
			}
			return Fail("unable to slurp file: %v", err)
		}
		r := (&Result{}).Set("encoding", "base64").Set("source", src)
		return r.Set("content", base64.StdEncoding.EncodeToString(b))
	},
}

var tempfileModule = &Module{
	Name: "tempfile", NoCheck: true,
	Params: []Param{
		{Name: "state", Default: "file", Choices: []string{"directory", "file"}}, {Name: "path", Type: Path},
		{Name: "prefix", Default: "ansible."}, {Name: "suffix", Default: ""},
	},
	Run: func(_ context.Context, c *Call) *Result {
		dir := c.Str("path")
		if dir == "" {
			if dir, _ = c.getenv("TMPDIR"); dir == "" {
				dir = "/tmp"
			}
		}
		const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
		for range 100 {
			name := make([]byte, 8)
			for i := range name {
				name[i] = letters[rand.IntN(len(letters))]
			}
			path := dir + "/" + c.Str("prefix") + string(name) + c.Str("suffix")
			var err error
			if c.Str("state") == "directory" {
				err = os.Mkdir(c.Host.Path(path), 0o700)
			} else {
				var f *os.File
				if f, err = os.OpenFile(c.Host.Path(path), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
					f.Close()
				}
			}
			if errors.Is(err, fs.ErrExist) {
				continue
			}
			if err != nil {
				return Fail("cannot make a temporary %s in %s: %s", c.Str("state"), dir, reason(err))
			}
			r := (&Result{}).Set("path", path)
			r.Change(c.Str("state"), path, "create", nil, c.Host.Record(path))
			return c.pathInfo(r, path)
		}
		return Fail("cannot make a temporary %s in %s: every name tried is taken", c.Str("state"), dir)
	},
}
