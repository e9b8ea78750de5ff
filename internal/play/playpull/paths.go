package playpull

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"drover/api"
	"drover/internal/play/engine"
)

// repoPaths turns names of the bundle, whose root is "/", into those that the
// fleet repository has: people look there for what is wrong.
type repoPaths struct{ names *regexp.Regexp }

// systemFolders are names at the root of every host, which a message means
// even if the repository has a folder of that name.
var systemFolders = []string{"bin", "boot", "dev", "etc", "home", "lib", "media", "mnt", "opt", "proc", "root", "run", "sbin", "srv", "sys", "tmp", "usr", "var"}

func repository(files engine.Files) repoPaths {
	list, err := files.ReadDir("/")
	if err != nil {
		return repoPaths{}
	}
	var tops []string
	for _, e := range list {
		if !slices.Contains(systemFolders, e.Name()) {
			tops = append(tops, regexp.QuoteMeta(e.Name()))
		}
	}
	if len(tops) == 0 {
		return repoPaths{}
	}
	re, err := regexp.Compile(`(^|[\s'"(:])/(` + strings.Join(tops, "|") + `)\b`)
	if err != nil {
		return repoPaths{} // names with bytes that are no text
	}
	return repoPaths{names: re}
}

func (r repoPaths) text(s string) string {
	if r.names == nil || !strings.Contains(s, "/") {
		return s
	}
	return r.names.ReplaceAllString(s, "$1$2")
}

func (r repoPaths) place(p *api.Place) *api.Place {
	if p == nil {
		return nil
	}
	q := *p
	q.File = strings.TrimPrefix(q.File, "/")
	return &q
}

func (r repoPaths) problem(e *api.Error) *api.Error {
	c := *e
	c.Place, c.Message = r.place(e.Place), r.text(e.Message)
	return &c
}

func (r repoPaths) err(err error) error {
	var list engine.Problems
	var one *api.Error
	switch {
	case errors.As(err, &list):
		out := make(engine.Problems, len(list))
		for i, e := range list {
			out[i] = r.problem(e)
		}
		return out
	case errors.As(err, &one) && one.Place != nil:
		return r.problem(one)
	}
	return err
}
