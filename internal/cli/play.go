package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/internal/play/engine"
	"drover/internal/play/module"
	"drover/internal/play/playhost"
	"drover/internal/play/push"
	"drover/internal/play/value"
	"drover/internal/play/yaml"
)

// playFlags are ansible-playbook's.
type playFlags struct {
	inventory, extra, tags, skipTags, vaultFiles, vaultIDs, modulePath []string
	limit, becomeMethod, becomeUser, user, key, connection, startAt    string
	sshCommon, sshExtra, passFile, becomePassFile                      string
	forks, timeout, verbose                                            int
	check, diff, become, askPass, askBecome, askVault                  bool
	syntax, listHosts, listTasks, listTags, step, flush, force         bool
}

func newPlayCommand(a *app) *cobra.Command {
	var f playFlags
	cmd := &cobra.Command{
		Use:     "play PLAYBOOK…",
		GroupID: groupWork,
		Short:   "Run playbooks, with ansible-playbook's flags",
		Long: `Runs Ansible playbooks over SSH, on this machine, or through the agents of
enrolled hosts (-c agent). Nothing has to be installed on the hosts: a small
program is copied once by its hash.

Exit status, as of ansible-playbook: 0 all went well, 1 the run could not
begin, 2 a host failed, 4 a host could not be reached, 5 wrong flags, 250 an
unexpected error.`,
		Example: `  drover play site.yml -i hosts
  drover play site.yml -i hosts -l web -t nginx -C -D
  drover play site.yml -c agent`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &exitError{code: engine.ExitOptions, err: errors.New("name at least one playbook\nusage: " + cmd.UseLine())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return a.play(cmd, args, &f) },
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{code: engine.ExitOptions, err: err}
	})
	p := cmd.Flags()
	p.StringArrayVarP(&f.inventory, "inventory", "i", nil, "inventory `file`, folder, or \"host1,host2,\"; may be given several times")
	p.StringVarP(&f.limit, "limit", "l", "", "only these hosts: a `pattern`, or @file")
	p.StringArrayVarP(&f.tags, "tags", "t", nil, "only tasks with these `tags`")
	p.StringArrayVar(&f.skipTags, "skip-tags", nil, "leave out tasks with these `tags`")
	p.BoolVarP(&f.check, "check", "C", false, "change nothing; say what would be changed")
	p.BoolVarP(&f.diff, "diff", "D", false, "show differences of changed files")
	p.StringArrayVarP(&f.extra, "extra-vars", "e", nil, "variables: `k=v`, JSON, YAML or @file")
	p.IntVarP(&f.forks, "forks", "f", 0, "`number` of hosts at a time (5)")
	p.BoolVarP(&f.become, "become", "b", false, "run tasks as another user")
	p.StringVar(&f.becomeUser, "become-user", "", "that `user` (root)")
	p.StringVar(&f.becomeMethod, "become-method", "", "how: `method` sudo or su")
	p.StringVarP(&f.user, "user", "u", "", "sign in as this `user`; through agents, run as it instead of root")
	p.StringVar(&f.key, "private-key", "", "sign in with this key `file`")
	p.StringVar(&f.key, "key-file", "", "the same as --private-key")
	p.BoolVarP(&f.askPass, "ask-pass", "k", false, "ask for the SSH password")
	p.BoolVarP(&f.askBecome, "ask-become-pass", "K", false, "ask for the password of sudo or su")
	p.StringVar(&f.passFile, "connection-password-file", "", "`file` with the SSH password")
	p.StringVar(&f.becomePassFile, "become-password-file", "", "`file` with the password of sudo or su")
	p.StringVarP(&f.connection, "connection", "c", "", "`type` of connection: ssh, local or agent")
	p.IntVarP(&f.timeout, "timeout", "T", 0, "`seconds` to wait for a connection")
	p.CountVarP(&f.verbose, "verbose", "v", "show results; more with -vv, -vvv")
	p.BoolVar(&f.syntax, "syntax-check", false, "only check the playbooks")
	p.BoolVar(&f.listHosts, "list-hosts", false, "only list the hosts")
	p.BoolVar(&f.listTasks, "list-tasks", false, "only list the tasks")
	p.BoolVar(&f.listTags, "list-tags", false, "only list the tags")
	p.StringVar(&f.startAt, "start-at-task", "", "begin at the task of this `name`")
	p.BoolVar(&f.step, "step", false, "ask before each task")
	p.BoolVar(&f.flush, "flush-cache", false, "forget the facts that are kept")
	p.BoolVar(&f.force, "force-handlers", false, "run handlers even if a task fails")
	p.StringArrayVarP(&f.modulePath, "module-path", "M", nil, "ignored: modules are built in (`path`)")
	p.StringArrayVar(&f.vaultFiles, "vault-password-file", nil, "`file` with the vault password")
	p.StringArrayVar(&f.vaultFiles, "vault-pass-file", nil, "the same (`file`)")
	p.StringArrayVar(&f.vaultIDs, "vault-id", nil, "`id@file` or id@prompt")
	p.BoolVarP(&f.askVault, "ask-vault-pass", "J", false, "ask for the vault password")
	p.BoolVar(&f.askVault, "ask-vault-password", false, "the same")
	p.StringVar(&f.sshCommon, "ssh-common-args", "", "`arguments` for SSH: -o options and -J are understood")
	p.StringVar(&f.sshExtra, "ssh-extra-args", "", "further `arguments` for SSH")
	for _, hidden := range []string{"key-file", "vault-pass-file", "ask-vault-password", "module-path"} {
		_ = p.MarkHidden(hidden)
	}
	return cmd
}

// playError ends the command as ansible-playbook does when a run cannot begin.
func (a *app) playError(err error, code int) error {
	var list engine.Problems
	if errors.As(err, &list) {
		a.playProblems(list)
		return exit(code)
	}
	return &exitError{code: code, err: err}
}

func (a *app) playProblems(list []*api.Error) {
	for _, e := range list {
		a.printError(e)
	}
	if len(list) > 1 {
		fmt.Fprintf(a.Err, "%d problems; no host was touched\n", len(list))
	}
}

func (a *app) play(cmd *cobra.Command, args []string, f *playFlags) error {
	ctx := ctxOf(cmd)
	cfg, err := readAnsibleConfig(a.Getenv)
	if err != nil {
		return a.playError(err, engine.ExitError)
	}
	o, err := a.playOptions(cmd, f, cfg)
	if err != nil {
		return &exitError{code: engine.ExitOptions, err: err}
	}
	extra, err := readExtraVars(f.extra)
	if err != nil {
		return &exitError{code: engine.ExitOptions, err: err}
	}
	vault, err := a.readVault(f, cfg)
	if err != nil {
		return a.playError(err, engine.ExitError)
	}
	if o.Connection == "agent" {
		return a.playAgents(ctx, args, f, o, cfg, extra, vault)
	}
	files := engine.OS("")
	sources := f.inventory
	if len(sources) == 0 {
		sources = cfg.paths("inventory")
	}
	if len(sources) == 0 {
		if _, err := os.Stat("/etc/ansible/hosts"); err == nil {
			sources = []string{"/etc/ansible/hosts"}
		}
	}
	inv, err := engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: sources, Vault: vault})
	if err != nil {
		return a.playError(err, engine.ExitError)
	}
	project, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: args, RolesPath: cfg.rolesPath(a.Getenv("HOME")), ExtraVars: extra, Vault: vault, Env: o.Env})
	if err != nil {
		return a.playError(err, playbookExit(err))
	}
	if problems := project.Check(inv); len(problems) > 0 {
		a.playProblems(problems)
		return exit(playbookExit(problems[0]))
	}
	if f.syntax || f.listHosts || f.listTasks || f.listTags {
		return a.playLists(project, inv, f, o)
	}
	if len(inv.Hosts()) == 0 {
		a.playWarn("No inventory was parsed, only implicit localhost is available")
	}
	printer := newPlayPrinter(a, f.verbose, f.diff || o.Diff)
	o.Events = printer.event
	o.ExtraVars = nil
	conns := &connector{opens: map[string]bool{}}
	conns.push = push.New(push.Options{Open: conns.source, Progress: func(host, what string) {
		if a.errTerminal() && !a.quiet {
			fmt.Fprintln(a.Err, a.style(dim, host+": "+what))
		}
	}})
	defer conns.push.Close()
	o.Connector = conns
	recap, err := project.Run(ctx, inv, o)
	printer.recap(recap)
	if err != nil {
		return a.playError(err, engine.ExitError)
	}
	if code := recap.Exit(); code != 0 {
		return exit(code)
	}
	return nil
}

// playbookExit is 4 for what a parser refuses, as ansible-playbook ends then,
// and 1 for a playbook that is not there.
func playbookExit(err error) int {
	if api.CodeOf(err) == api.CodeNotFound {
		return engine.ExitError
	}
	return engine.ExitUnreachable
}

func (a *app) playOptions(cmd *cobra.Command, f *playFlags, cfg *ansibleConfig) (engine.Options, error) {
	o := engine.Options{
		Limit: f.limit, Tags: splitComma(f.tags), SkipTags: splitComma(f.skipTags), Check: f.check,
		Diff: f.diff || cfg.bool("diff", "always", "ANSIBLE_DIFF_ALWAYS", false), Forks: f.forks,
		User: first(f.user, cfg.str("defaults", "remote_user", "ANSIBLE_REMOTE_USER")), PrivateKey: expandHome(first(f.key, cfg.str("defaults", "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE")), a.Getenv("HOME")),
		Connection: f.connection, StartAt: f.startAt, FlushCache: f.flush, ForceHandler: f.force || cfg.bool("defaults", "force_handlers", "ANSIBLE_FORCE_HANDLERS", false),
		Gathering: cfg.str("defaults", "gathering", "ANSIBLE_GATHERING"), Verbosity: f.verbose,
		NoHostKeys:         !cfg.bool("defaults", "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING", true),
		BrokenConditionals: cfg.bool("defaults", "allow_broken_conditionals", "ANSIBLE_ALLOW_BROKEN_CONDITIONALS", false),
		Env:                environment(),
		SSHArgs:            strings.TrimSpace(first(f.sshCommon, cfg.str("ssh_connection", "ssh_common_args", "ANSIBLE_SSH_COMMON_ARGS")) + " " + f.sshExtra),
	}
	o.Become = engine.Become{
		Enabled:  f.become || cfg.bool("privilege_escalation", "become", "ANSIBLE_BECOME", false),
		User:     first(f.becomeUser, cfg.str("privilege_escalation", "become_user", "ANSIBLE_BECOME_USER")),
		Method:   first(f.becomeMethod, cfg.str("privilege_escalation", "become_method", "ANSIBLE_BECOME_METHOD")),
		Password: "",
	}
	if o.Forks == 0 {
		o.Forks = cfg.int("defaults", "forks", "ANSIBLE_FORKS", 5)
	}
	if f.connection == "" {
		o.Connection = cfg.str("defaults", "transport", "ANSIBLE_TRANSPORT")
	}
	if o.Connection == "smart" {
		o.Connection = ""
	}
	switch o.Connection {
	case "", "ssh", "local", "agent", "paramiko":
	default:
		return o, fmt.Errorf("-c %s is not known: use ssh, local or agent", o.Connection)
	}
	secs := f.timeout
	if secs == 0 {
		secs = cfg.int("defaults", "timeout", "ANSIBLE_TIMEOUT", 10)
	}
	o.Timeout = time.Duration(secs) * time.Second
	var err error
	if o.Password, err = a.secret(f.askPass, f.passFile, "SSH password: "); err != nil {
		return o, err
	}
	if o.Become.Password, err = a.secret(f.askBecome, f.becomePassFile, "BECOME password: "); err != nil {
		return o, err
	}
	if f.askBecome && o.Become.Password == "" {
		o.Become.Password = o.Password
	}
	o.Prompt = a.playPrompt
	if !isTerminal(a.In) {
		o.Prompt = nil
	}
	if f.step {
		o.Step = a.playStep
	}
	return o, nil
}

func (a *app) secret(ask bool, file, question string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		return strings.TrimRight(string(b), "\r\n"), err
	}
	if !ask {
		return "", nil
	}
	return a.askSecret(question, "give it in a file with --connection-password-file or --become-password-file")
}

func (a *app) playPrompt(ctx context.Context, p engine.Prompt) (string, error) {
	text := p.Text
	if p.Default != "" {
		text += " [" + p.Default + "]"
	}
	ask := a.ask
	if p.Private {
		ask = a.askSecret
	}
	for {
		v, err := ask(text+": ", "give the variable with -e")
		if err != nil || !p.Confirm {
			return v, err
		}
		again, err := ask("confirm "+text+": ", "give the variable with -e")
		if err != nil || again == v {
			return v, err
		}
		fmt.Fprintln(a.Err, "***** VALUES ENTERED DO NOT MATCH ****")
	}
}

func (a *app) playStep(task string) engine.StepAnswer {
	for {
		v, err := a.ask(fmt.Sprintf("Perform task: %s (N)o/(y)es/(c)ontinue: ", task), "--step needs a terminal")
		if err != nil {
			return engine.StepNo
		}
		switch strings.ToLower(v) {
		case "y", "yes":
			return engine.StepYes
		case "c", "continue":
			return engine.StepContinue
		case "", "n", "no":
			return engine.StepNo
		}
	}
}

// playLists answers --syntax-check, --list-hosts, --list-tasks and --list-tags.
func (a *app) playLists(p *engine.Project, inv *engine.Inventory, f *playFlags, o engine.Options) error {
	file := ""
	n := 0
	plays := p.List(o.Tags, o.SkipTags)
	for _, pl := range plays {
		if pl.File != file {
			file, n = pl.File, 0
			rel := file
			if cwd, err := os.Getwd(); err == nil {
				if r, err := filepath.Rel(cwd, file); err == nil {
					rel = r
				}
			}
			fmt.Fprintf(a.Out, "\nplaybook: %s\n", rel)
			if f.syntax {
				continue
			}
		}
		if f.syntax {
			continue
		}
		n++
		fmt.Fprintf(a.Out, "\n  play #%d (%s): %s\tTAGS: [%s]\n", n, pl.Pattern, pl.Name, strings.Join(pl.Tags, ", "))
		if f.listHosts {
			hosts, err := inv.SelectLimited(pl.Pattern, o.Limit)
			if err != nil {
				return a.playError(err, engine.ExitError)
			}
			fmt.Fprintf(a.Out, "    pattern: [%s]\n    hosts (%d):\n", value.Repr(pl.Pattern), len(hosts))
			for _, h := range hosts {
				fmt.Fprintf(a.Out, "      %s\n", h)
			}
		}
		if f.listTasks {
			fmt.Fprintln(a.Out, "    tasks:")
			for _, t := range pl.Tasks {
				fmt.Fprintf(a.Out, "      %s\tTAGS: [%s]\n", t.Name, strings.Join(sorted(t.Tags), ", "))
			}
		}
		if f.listTags {
			fmt.Fprintf(a.Out, "      TASK TAGS: [%s]\n", strings.Join(pl.AllTags(), ", "))
		}
	}
	return nil
}

// connector opens sessions: on this machine in this process, on others over SSH.
type connector struct {
	push *push.Connector

	mu    sync.Mutex
	open  func(sha256 string) (io.ReadCloser, error)
	opens map[string]bool
}

// Connect implements engine.Connector.
func (c *connector) Connect(ctx context.Context, t engine.Target) (engine.Conn, error) {
	if t.Connection == "local" {
		conn := playhost.Local(&module.Host{}, t.Open)
		conn.SetBecome(playhost.Become{Method: t.Become.Method, Password: t.Become.Password, Flags: t.Become.Flags, Exe: t.Become.Exe})
		return conn, nil
	}
	if t.Connection == "agent" {
		return nil, api.Errorf(api.CodeInvalid, "host %s wants connection agent, and the play runs from here", t.Host).WithRemedy("run the whole play with -c agent")
	}
	c.mu.Lock()
	c.open = t.Open
	c.mu.Unlock()
	return c.push.Connect(ctx, t)
}

// source gives hosts the content that requests name by hash.
func (c *connector) source(sha256 string) (io.ReadCloser, error) {
	c.mu.Lock()
	open := c.open
	c.mu.Unlock()
	if open == nil {
		return nil, api.Errorf(api.CodeNotFound, "cannot send %s: nothing was announced", sha256)
	}
	return open(sha256)
}

func environment() map[string]string {
	out := map[string]string{}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		out[k] = v
	}
	return out
}

func splitComma(list []string) []string {
	var out []string
	for _, s := range list {
		for _, p := range strings.Split(s, ",") {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

// readExtraVars reads -e: k=v words, JSON or YAML, or a file.
func readExtraVars(list []string) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range list {
		s = strings.TrimSpace(s)
		switch {
		case s == "":
			continue
		case s[0] == '@':
			src, err := os.ReadFile(s[1:])
			if err != nil {
				return nil, fmt.Errorf("cannot read extra vars: %w", err)
			}
			if err := addYAML(out, s[1:], src); err != nil {
				return nil, err
			}
		case s[0] == '{' || s[0] == '[' || strings.HasPrefix(s, "---"):
			if err := addYAML(out, "-e", []byte(s)); err != nil {
				return nil, err
			}
		default:
			kv, err := engine.KeyValues(s)
			if err != nil {
				return nil, err
			}
			for k, v := range kv {
				out[k] = v
			}
		}
	}
	return out, nil
}

func addYAML(out map[string]any, name string, src []byte) error {
	docs, err := yaml.Parse(name, src)
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return nil
	}
	d, ok := docs[0].Value().(*value.Dict)
	if !ok {
		return fmt.Errorf("extra vars from %s are not a dictionary", name)
	}
	for _, it := range d.Items() {
		out[value.Str(it.Key)] = it.Value
	}
	return nil
}

// readVault collects the vault passwords.
func (a *app) readVault(f *playFlags, cfg *ansibleConfig) (*engine.Vault, error) {
	v := &engine.Vault{}
	add := func(id, file string) error {
		var pass string
		var err error
		if file == "prompt" || file == "prompt_ask_vault_pass" {
			pass, err = a.askSecret("Vault password ("+id+"): ", "name a file with --vault-password-file")
		} else {
			pass, err = readPasswordFile(expandHome(file, a.Getenv("HOME")))
		}
		if err == nil {
			v.Secrets = append(v.Secrets, engine.VaultSecret{ID: id, Password: []byte(pass)})
		}
		return err
	}
	files := f.vaultFiles
	if len(files) == 0 {
		if x := cfg.str("defaults", "vault_password_file", "ANSIBLE_VAULT_PASSWORD_FILE"); x != "" {
			files = []string{x}
		}
	}
	for _, x := range files {
		if err := add("default", x); err != nil {
			return nil, err
		}
	}
	for _, x := range f.vaultIDs {
		id, file, ok := strings.Cut(x, "@")
		if !ok {
			id, file = "default", x
		}
		if err := add(id, file); err != nil {
			return nil, err
		}
	}
	if f.askVault {
		if err := add("default", "prompt"); err != nil {
			return nil, err
		}
	}
	return v, nil
}
