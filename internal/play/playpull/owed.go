package playpull

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"drover/internal/play/engine"
)

// owed keeps what handlers the host owes its play in a file of the agent's
// state folder, so that they run even if the agent dies before them.
type owed struct {
	file string // "" keeps nothing
	was  []engine.Notice
	err  error
}

// openOwed reads what an earlier run left.
func openOwed(dir string) (*owed, error) {
	if dir == "" {
		return &owed{}, nil
	}
	o := &owed{file: filepath.Join(dir, "handlers.json")}
	b, err := os.ReadFile(o.file)
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o.was)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read which handlers are still to run: %w", err)
	}
	return o, nil
}

// keep replaces the file in one step. That a task began, which may notify, has
// to outlive this process; what was notified has to outlive the machine's
// power as well.
func (o *owed) keep(all []engine.Notice) {
	if o.file == "" || o.err != nil {
		return
	}
	sync := !slices.Equal(sure(all), sure(o.was))
	o.was = all
	if len(all) == 0 {
		if err := os.Remove(o.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.err = err
		}
		return
	}
	o.err = write(o.file, all, sync)
}

func sure(all []engine.Notice) []engine.Notice {
	return slices.DeleteFunc(slices.Clone(all), func(n engine.Notice) bool { return n.Maybe })
}

func write(name string, all []engine.Notice, sync bool) error {
	b, err := json.Marshal(all)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if sync && err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil || !sync {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	err = dir.Sync()
	if e := dir.Close(); err == nil {
		err = e
	}
	return err
}
