package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"drover/api"
	"drover/client"
	"drover/internal/fleetfile"
	"drover/internal/play/engine"
	"drover/internal/play/playwire"
	"drover/internal/play/value"
	"drover/internal/tree"
)

// playAgents runs the play through the server and the hosts' agents. What is
// wrong with it is found here, before anything is sent.
func (a *app) playAgents(ctx context.Context, args []string, f *playFlags, o engine.Options, cfg *ansibleConfig, extra map[string]any, vault *engine.Vault) error {
	if f.step {
		return &exitError{code: engine.ExitOptions, err: errors.New("--step asks before each task, and with -c agent the play runs on the server: leave one of them out")}
	}
	cwd, err := os.Getwd()
	if err != nil {
		return a.playError(err, engine.ExitError)
	}
	files, scripts := watchFiles(), map[string]string{}
	pack := newPlayPack(a.Getenv("HOME"), playLimits)
	req := api.PlayRequest{Playbooks: args, Dir: cwd, Limit: o.Limit, Tags: o.Tags, SkipTags: o.SkipTags, Check: o.Check, Diff: o.Diff, Forks: f.forks,
		StartAt: o.StartAt, Verbosity: o.Verbosity, User: f.user, Become: o.Become.Enabled, BecomeUser: o.Become.User, BecomeMethod: o.Become.Method,
		BecomePassword: o.Become.Password, ForceHandlers: o.ForceHandler, Gathering: o.Gathering, BrokenConditionals: o.BrokenConditionals,
		RolesPath: cfg.rolesPath(a.Getenv("HOME")), Scripts: scripts}
	if req.Inventory, err = pack.inventory(args, f, cfg); err != nil {
		return a.playError(err, engine.ExitError)
	}
	var inv *engine.Inventory
	if len(req.Inventory) > 0 {
		inv, err = engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: req.Inventory, Vault: vault,
			Run: func(ctx context.Context, argv ...string) ([]byte, error) {
				out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).Output()
				scripts[strings.Join(argv, " ")] = string(out)
				return out, err
			}})
		if err != nil {
			return a.playError(err, engine.ExitError)
		}
	}
	project, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: args, RolesPath: req.RolesPath, ExtraVars: extra, Vault: vault, Env: o.Env})
	if err != nil {
		return a.playError(err, playbookExit(err))
	}
	if problems := project.Check(inv); len(problems) > 0 {
		a.playProblems(problems)
		return exit(playbookExit(problems[0]))
	}
	if f.syntax || f.listHosts || f.listTasks || f.listTags {
		if inv == nil && f.listHosts {
			if inv, err = a.enrolledInventory(ctx); err != nil {
				return err
			}
		}
		return a.playLists(project, inv, f, o)
	}
	for _, s := range vaultSecrets(vault) {
		req.Vault = append(req.Vault, api.PlayVault{ID: s.ID, Password: s.Password})
	}
	// What JSON does not know goes as its text, and what it knows as the
	// language writes it: 3.0 is not 3.
	plain, err := value.ToJSON(value.FromGo(value.ToGo(value.FromGo(extra))))
	if err != nil {
		return err
	}
	exact := json.NewDecoder(bytes.NewReader(plain))
	exact.UseNumber()
	if err := exact.Decode(&req.ExtraVars); err != nil {
		return err
	}
	if err := pack.collect(args, cfg, files.names()); err != nil {
		return a.playError(err, engine.ExitError)
	}
	req.Env, req.Modes = pack.env(environment()), pack.modes()
	body, err := pack.write(req)
	if err != nil {
		return err
	}
	err = a.uploadPlay(ctx, body, newPlayPrinter(a, f.verbose, o.Diff))
	if err != nil && len(pack.broad) > 0 {
		a.playWarn("of " + strings.Join(pack.broad, ", ") + ", which is no project's own folder, only the playbooks, the files they name and the folders " +
			strings.Join(playFolders, ", ") + " were uploaded: if something was not found, move the playbooks into a folder of their own")
	}
	return err
}

func vaultSecrets(v *engine.Vault) []engine.VaultSecret {
	if v == nil {
		return nil
	}
	return v.Secrets
}

// collect puts all that a play needs into the pack.
func (p *playPack) collect(playbooks []string, cfg *ansibleConfig, touched []string) error {
	for _, pb := range playbooks {
		abs, err := filepath.Abs(pb)
		if err != nil {
			return err
		}
		if err := p.project(abs); err != nil {
			return err
		}
	}
	if cfg.rolesGiven() {
		for _, dir := range cfg.rolesPath(p.home) {
			if !p.isShared(dir) && exists(dir) {
				if err := p.root(dir); err != nil {
					return err
				}
			}
		}
	}
	if err := p.touched(touched); err != nil {
		return err
	}
	return p.read()
}

// rolesGiven reports whether somebody said where roles are.
func (c *ansibleConfig) rolesGiven() bool {
	return c.getenv("ANSIBLE_ROLES_PATH") != "" || c.values["defaults.roles_path"] != ""
}

// inventory is what -i says, else ansible.cfg, else the fleet.yml of the
// playbook's project. Empty: the enrolled hosts.
func (p *playPack) inventory(playbooks []string, f *playFlags, cfg *ansibleConfig) ([]string, error) {
	if len(f.inventory) > 0 {
		return f.inventory, nil
	}
	if sources := cfg.paths("inventory"); len(sources) > 0 {
		return sources, nil
	}
	abs, err := filepath.Abs(playbooks[0])
	if err != nil {
		return nil, err
	}
	for d := filepath.Dir(abs); ; d = filepath.Dir(d) {
		declared, repository := exists(filepath.Join(d, fleetfile.Name)), exists(filepath.Join(d, ".git"))
		if declared || !p.isShared(d) && (repository || d == filepath.Dir(abs)) {
			ff, err := fleetfile.Load(os.DirFS(d))
			if err != nil {
				return nil, err
			}
			var out []string
			for _, s := range ff.Inventory {
				out = append(out, filepath.Join(d, s))
			}
			if len(out) > 0 {
				return out, nil
			}
		}
		if d == "/" || declared || repository {
			return nil, nil
		}
	}
}

// enrolledInventory is the inventory that the server takes when none is named.
func (a *app) enrolledInventory(ctx context.Context) (*engine.Inventory, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	hosts, _, err := client.List[api.Host](ctx, c, "hosts", client.ListOptions{})
	if err != nil {
		return nil, err
	}
	var all strings.Builder
	groups := map[string]string{}
	for _, h := range hosts {
		all.WriteString(h.Name + "\n")
		for _, g := range h.Status.Groups {
			if g != "all" {
				groups[g] += h.Name + "\n"
			}
		}
	}
	for g, members := range groups {
		all.WriteString("[" + g + "]\n" + members)
	}
	b := tree.NewBuilder(tree.Limits{})
	if err := b.Add(tree.File{Path: "hosts", Data: []byte(all.String())}); err != nil {
		return nil, err
	}
	t, err := b.Tree()
	if err != nil {
		return nil, err
	}
	return engine.LoadInventory(engine.InventoryOptions{Files: engine.Bundle(t), Sources: []string{"/hosts"}})
}

// uploadPlay sends the pack and prints the play's stream.
func (a *app) uploadPlay(ctx context.Context, body io.Reader, out *playPrinter) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	res, err := c.Do(ctx, http.MethodPost, "/v1/plays", body, http.Header{"Content-Type": {"application/x-tar"}, "Accept": {"text/event-stream"}})
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return a.printPlay(ctx, out, func(fn func(client.Message) error) error { return readEvents(res.Body, fn) })
}

// followPlay prints a play from its beginning.
func (a *app) followPlay(ctx context.Context, c *client.Client, id string) error {
	return a.printPlay(ctx, newPlayPrinter(a, 0, false), func(fn func(client.Message) error) error {
		return c.Follow(ctx, client.Path("v1", "runs", id, "events"), nil, func(m client.Message) error {
			if err := fn(m); err != nil {
				return err
			}
			if m.Event == "end" {
				return client.ErrStop
			}
			return nil
		})
	})
}

// printPlay prints the events of a play, which read hands over.
func (a *app) printPlay(ctx context.Context, out *playPrinter, read func(func(client.Message) error) error) error {
	var end *api.PlayEnd
	recap := &engine.Recap{Hosts: map[string]*engine.HostStats{}}
	err := read(func(m client.Message) error {
		switch m.Event {
		case "play":
			events, err := playwire.Decode(m.Data)
			if err != nil {
				return err
			}
			for _, e := range events {
				if e.Kind == engine.EventStats {
					recap.Custom = e.Stats
				}
				out.event(e)
			}
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
		return stopped(ctx, err)
	}
	recap.Order = end.Order
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
