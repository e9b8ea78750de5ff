package cli

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"drover/api"
	"drover/client"
	"drover/internal/play/engine"
)

// uploadPlay sends the folder with the playbooks and prints the play's stream.
func (a *app) uploadPlay(ctx context.Context, playbooks, inventory []string, req api.PlayRequest, out *playPrinter) error {
	root, err := projectRoot(playbooks, inventory)
	if err != nil {
		return err
	}
	rel := func(name string) (string, error) {
		abs, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		r, err := filepath.Rel(root, abs)
		return filepath.ToSlash(r), err
	}
	for _, p := range playbooks {
		r, err := rel(p)
		if err != nil {
			return err
		}
		req.Playbooks = append(req.Playbooks, r)
	}
	for _, s := range inventory {
		if strings.Contains(s, ",") {
			req.Inventory = append(req.Inventory, s)
			continue
		}
		r, err := rel(s)
		if err != nil {
			return err
		}
		req.Inventory = append(req.Inventory, r)
	}
	body, err := packProject(root, req)
	if err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	res, err := c.Do(ctx, http.MethodPost, "/v1/plays", body, http.Header{"Content-Type": {"application/gzip"}, "Accept": {"text/event-stream"}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var end *api.PlayEnd
	err = readEvents(res.Body, func(m client.Message) error {
		switch m.Event {
		case "play":
			var e engine.Event
			if err := json.Unmarshal(m.Data, &e); err != nil {
				return err
			}
			out.event(e)
		case "end":
			end = &api.PlayEnd{}
			return json.Unmarshal(m.Data, end)
		}
		return nil
	})
	if end == nil {
		if err == nil {
			err = errors.New("the server ended the play's stream before the play")
		}
		return err
	}
	recap := &engine.Recap{Hosts: map[string]*engine.HostStats{}, Order: end.Order}
	for h, m := range end.Recap {
		recap.Hosts[h] = &engine.HostStats{OK: m["ok"], Changed: m["changed"], Unreachable: m["unreachable"], Failed: m["failed"], Skipped: m["skipped"], Rescued: m["rescued"], Ignored: m["ignored"]}
	}
	out.recap(recap)
	if end.Error != nil {
		return a.playError(end.Error, max(end.Exit, 1))
	}
	if end.Exit != 0 {
		return exit(end.Exit)
	}
	return nil
}

// projectRoot is the folder to upload: the one that holds all playbooks and
// inventories, and the whole repository where they are in one.
func projectRoot(playbooks, inventory []string) (string, error) {
	root := ""
	for _, p := range append(append([]string{}, playbooks...), inventory...) {
		if strings.Contains(p, ",") {
			continue
		}
		abs, err := filepath.Abs(p)
		if err != nil {
			return "", err
		}
		dir := filepath.Dir(abs)
		if root == "" {
			root = dir
		}
		for root != dir && !strings.HasPrefix(dir+"/", strings.TrimSuffix(root, "/")+"/") {
			root = filepath.Dir(root)
		}
	}
	for d := root; d != "/" && d != "."; d = filepath.Dir(d) {
		for _, mark := range []string{"fleet.yml", "ansible.cfg", ".git"} {
			if _, err := os.Stat(filepath.Join(d, mark)); err == nil {
				return d, nil
			}
		}
	}
	if root == "/" || root == "" {
		return "", fmt.Errorf("cannot upload the playbooks: they have no folder in common but /")
	}
	return root, nil
}

const maxProject = 128 << 20

// packProject makes the tar of a project, its options first.
func packProject(root string, req api.PlayRequest) (*bytes.Buffer, error) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	opts, err := json.Marshal(req)
	if err != nil {
		return nil, err
	}
	add := func(name string, mode int64, src []byte) error {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(src)), Typeflag: tar.TypeReg}); err != nil {
			return err
		}
		_, err := tw.Write(src)
		return err
	}
	if err := add(api.PlayOptionsFile, 0o600, opts); err != nil {
		return nil, err
	}
	size := 0
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "node_modules" {
				return filepath.SkipDir
			}
			return nil
		}
		st, err := os.Stat(name)
		if err != nil || !st.Mode().IsRegular() {
			return nil // a broken link or a socket is no part of a project
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if size += len(src); size > maxProject {
			return fmt.Errorf("cannot upload %s: it holds more than %d MiB", root, maxProject>>20)
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		return add(filepath.ToSlash(rel), int64(st.Mode().Perm()), src)
	})
	if err == nil {
		err = tw.Close()
	}
	if err == nil {
		err = zw.Close()
	}
	return &buf, err
}

// readEvents reads server-sent events until they end.
func readEvents(r io.Reader, fn func(client.Message) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	m := client.Message{Event: "message"}
	for {
		line, err := br.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if len(m.Data) > 0 {
				if err := fn(m); err != nil {
					return err
				}
			}
			m = client.Message{Event: "message"}
			continue
		}
		k, v, _ := bytes.Cut(line, []byte(":"))
		v = bytes.TrimPrefix(v, []byte(" "))
		switch string(k) {
		case "event":
			m.Event = string(v)
		case "data":
			if len(m.Data) > 0 {
				m.Data = append(m.Data, '\n')
			}
			m.Data = append(m.Data, v...)
		}
	}
}
