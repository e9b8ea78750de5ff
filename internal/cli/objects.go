package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drover/api"
	"drover/client"
	"drover/internal/server"
)

// object is one object as the server's JSON has it.
type object = map[string]any

// kinds asks the server for its kinds.
func kinds(ctx context.Context, c *client.Client) ([]server.KindInfo, error) {
	var list server.KindList
	err := c.Call(ctx, "GET", "/v1/kinds", nil, &list)
	return list.Items, err
}

// kindNamed finds a kind by its name, plural or short name, or says which was meant.
func kindNamed(ctx context.Context, c *client.Client, word string) (server.KindInfo, error) {
	all, err := kinds(ctx, c)
	if err != nil {
		return server.KindInfo{}, err
	}
	var names, plurals []string
	for _, k := range all {
		if w := strings.ToLower(word); w == k.Name || w == k.Plural || slices.Contains(k.Short, w) {
			return k, nil
		}
		names = append(names, k.Name, k.Plural)
		plurals = append(plurals, k.Plural)
	}
	sort.Strings(plurals)
	e := api.Errorf(api.CodeInvalid, "there is no kind %q", word).WithRemedy("there are: %s", strings.Join(plurals, ", "))
	if near := nearest(word, names); near != "" {
		e = e.WithRemedy("did you mean %q?", near)
	}
	return server.KindInfo{}, e
}

// completeKinds completes the first argument by kinds, the others by names.
func (a *app) completeKinds(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(ctxOf(cmd), 2*time.Second)
	defer cancel()
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if len(args) == 0 {
		all, _ := kinds(ctx, c)
		var words []string
		for _, k := range all {
			words = append(words, k.Plural+"\t"+k.Doc)
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
	k, err := kindNamed(ctx, c, args[0])
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeNames(ctx, c, k.Plural), cobra.ShellCompDirectiveNoFileComp
}

func completeNames(ctx context.Context, c *client.Client, plural string) []string {
	objs, _, err := client.List[object](ctx, c, plural, client.ListOptions{})
	if err != nil {
		return nil
	}
	var names []string
	for _, o := range objs {
		names = append(names, nameOf(o))
	}
	return names
}

func nameOf(o object) string {
	s, _ := o["name"].(string)
	return s
}

type getFlags struct {
	selector string
	watch    bool
}

func newGetCommand(a *app) *cobra.Command {
	var f getFlags
	cmd := &cobra.Command{
		Use: "get KIND [NAME…]", GroupID: groupObjects,
		Short: "Show objects of any kind",
		Example: `  drover get hosts -l env=prod
  drover get host web-1 -o yaml
  drover get revisions -w`,
		Args:              minArgs("a kind, such as hosts"),
		ValidArgsFunction: a.completeKinds,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.get(ctxOf(cmd), f, args[0], args[1:]) },
	}
	cmd.Flags().StringVarP(&f.selector, "selector", "l", "", "only those with these `labels`: label=value, label!=value, label, !label; joined by commas")
	cmd.Flags().BoolVarP(&f.watch, "watch", "w", false, "go on and show every change")
	return cmd
}

// minArgs is at least the named arguments.
func minArgs(what ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= len(what) {
			return nil
		}
		return usagef("%s needs %s\nusage: %s", cmd.CommandPath(), what[len(args)], cmd.UseLine())
	}
}

func (a *app) get(ctx context.Context, f getFlags, word string, names []string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	p := a.progress("reading " + word)
	defer p.End()
	k, err := kindNamed(ctx, c, word)
	if err != nil {
		return err
	}
	if f.watch {
		p.End()
		return a.watchObjects(ctx, c, k, f, names)
	}
	objs, err := fetch(ctx, c, k, f.selector, names)
	p.End()
	if err != nil {
		return err
	}
	if len(names) == 0 && k.Name == "revision" {
		newestFirst(objs) // their names, which the server sorts by, are hashes
	}
	// One object that was named is printed as itself.
	if a.structured() && len(names) == 1 {
		return a.printValue(objs[0])
	}
	if len(objs) == 0 && !a.structured() {
		fmt.Fprintf(a.Err, "no %s\n", k.Plural)
		return nil
	}
	return a.printObjects(k.Columns, objs, time.Now())
}

// newestFirst sorts objects by their age.
func newestFirst(objs []object) {
	created := func(o object) time.Time {
		s, _ := o["created"].(string)
		when, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return time.Time{}
		}
		return when
	}
	slices.SortStableFunc(objs, func(a, b object) int { return created(b).Compare(created(a)) })
}

// fetch reads the named objects, or all that a selector picks.
func fetch(ctx context.Context, c *client.Client, k server.KindInfo, selector string, names []string) ([]object, error) {
	if len(names) == 0 {
		objs, _, err := client.List[object](ctx, c, k.Plural, client.ListOptions{Selector: selector})
		if objs == nil {
			objs = []object{}
		}
		return objs, err
	}
	var objs []object
	for _, n := range names {
		var o object
		if err := c.Get(ctx, k.Plural, n, &o); err != nil {
			return nil, err
		}
		objs = append(objs, o)
	}
	return objs, nil
}

// watchObjects prints every change as a line, or as a document.
func (a *app) watchObjects(ctx context.Context, c *client.Client, k server.KindInfo, f getFlags, names []string) error {
	head := true
	err := client.Watch(ctx, c, k.Plural, client.ListOptions{Selector: f.selector}, func(ch client.Change[object]) error {
		if ch.Type != "put" && ch.Type != "delete" || len(names) > 0 && !slices.Contains(names, nameOf(ch.Object)) {
			return nil
		}
		if a.structured() {
			b, err := json.Marshal(map[string]any{"type": ch.Type, "object": ch.Object})
			if err == nil {
				_, err = fmt.Fprintf(a.Out, "%s\n", b)
			}
			return err
		}
		if ch.Type == "delete" {
			_, err := fmt.Fprintf(a.Out, "%s (deleted)\n", nameOf(ch.Object))
			return err
		}
		t := objectTable(k.Columns, []object{ch.Object}, a.output == "wide", time.Now())
		var text strings.Builder
		t.write(&text, a.width(), a.style)
		lines := text.String()
		if !head {
			_, lines, _ = strings.Cut(lines, "\n")
		}
		head = false
		_, err := io.WriteString(a.Out, lines)
		return err
	})
	if errors.Is(err, context.Canceled) {
		return nil // Ctrl-C is how a watch ends
	}
	return err
}

func newApplyCommand(a *app) *cobra.Command {
	var files []string
	var dry bool
	cmd := &cobra.Command{
		Use: "apply -f FILE", GroupID: groupObjects,
		Short: "Create or change objects as files say",
		Long: `Create or change objects as YAML or JSON files say. A file holds one or more
documents with kind, name and spec, as drover get -o yaml prints them. All
documents are checked before the first is stored. What a document does not say
is set back to its default.`,
		Example: "  drover apply -f token.yml -f people/\n  drover get host web-1 -o yaml | sed … | drover apply -f -",
		Args:    exactArgs(),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.apply(ctxOf(cmd), files, dry) },
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "`file`, folder, or - for standard input; may be repeated")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "check, and say what would be done")
	return cmd
}

// planned is one document with its kind.
type planned struct {
	document
	kind server.KindInfo
}

// check reads files, finds the kinds, and lets the server check every document.
func (a *app) check(ctx context.Context, c *client.Client, files []string) ([]planned, error) {
	docs, err := a.readFiles(files)
	if err != nil {
		return nil, err
	}
	var list []planned
	for _, d := range docs {
		k, err := kindNamed(ctx, c, d.kind)
		if err != nil {
			return nil, placed(err, d, "kind")
		}
		list = append(list, planned{d, k})
	}
	return list, nil
}

func placed(err error, d document, field string) error {
	var e *api.Error
	if !errors.As(err, &e) || e.Place != nil {
		return err
	}
	at := *e
	if at.Field == "" {
		at.Field = field
	}
	place := d.placeOf(at.Field)
	at.Place = &place
	return &at
}

func (a *app) readFiles(files []string) ([]document, error) {
	if len(files) == 0 {
		return nil, usagef("no file is given: use -f FILE, -f FOLDER or -f -")
	}
	var docs []document
	for _, f := range files {
		if f == "-" {
			b, err := io.ReadAll(a.in)
			if err != nil {
				return nil, fmt.Errorf("cannot read standard input: %w", err)
			}
			more, err := readDocuments("(standard input)", b)
			if err != nil {
				return nil, err
			}
			docs = append(docs, more...)
			continue
		}
		names, err := expand(f)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return nil, api.Errorf(api.CodeInvalid, "cannot read %s: %v", name, err)
			}
			more, err := readDocuments(name, b)
			if err != nil {
				return nil, err
			}
			docs = append(docs, more...)
		}
	}
	return docs, nil
}

// expand is a file, or the YAML and JSON files of a folder.
func expand(name string) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot read %s: %v", name, errors.Unwrap(err)).WithRemedy("check the path")
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, api.Errorf(api.CodeInvalid, "cannot read %s: %v", name, err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); !e.IsDir() && (ext == ".yml" || ext == ".yaml" || ext == ".json") {
			names = append(names, filepath.Join(name, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, api.Errorf(api.CodeInvalid, "the folder %s has no .yml, .yaml or .json file", name)
	}
	return names, nil
}

// put sends one document and returns what the server made of it.
func put(ctx context.Context, c *client.Client, p planned, dry bool) (result string, stored object, err error) {
	path := client.Path("v1", p.kind.Plural, p.name)
	if dry {
		path += "?dry-run=true"
	}
	resp, err := c.Do(ctx, http.MethodPut, path, strings.NewReader(string(p.json)), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return "", nil, placed(err, p.document, "")
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&stored); err != nil {
		return "", nil, fmt.Errorf("cannot read the answer: %w", err)
	}
	return resp.Header.Get("X-Drover-Result"), stored, nil
}

func (a *app) apply(ctx context.Context, files []string, dry bool) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	p := a.progress("checking")
	defer p.End()
	list, err := a.check(ctx, c, files)
	if err != nil {
		return err
	}
	var objs []object
	for i, d := range list {
		p.Set("checking %d of %d", i+1, len(list))
		result, stored, err := put(ctx, c, d, true)
		if err != nil {
			return err
		}
		if dry {
			a.say("%s/%s %s (dry run)\n", d.kind.Name, d.name, result)
			objs = append(objs, stored)
		}
	}
	for i, d := range list {
		if dry {
			break
		}
		p.Set("applying %d of %d", i+1, len(list))
		result, stored, err := put(ctx, c, d, false)
		if err != nil {
			return err
		}
		a.say("%s/%s %s\n", d.kind.Name, d.name, result)
		objs = append(objs, stored)
	}
	p.End()
	if a.structured() {
		return a.printValue(objs)
	}
	return nil
}

// say prints what was done, unless output is for programs.
func (a *app) say(format string, args ...any) {
	if !a.structured() {
		fmt.Fprintf(a.Out, format, args...)
	}
}

type deleteFlags struct {
	ignoreMissing bool
	done          string
}

func newDeleteCommand(a *app) *cobra.Command {
	f := deleteFlags{done: "deleted"}
	var files []string
	cmd := &cobra.Command{
		Use: "delete KIND NAME…", GroupID: groupObjects,
		Short:             "Delete objects of any kind",
		Example:           "  drover delete host web-7\n  drover delete -f people/",
		ValidArgsFunction: a.completeKinds,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := ctxOf(cmd)
			if len(files) == 0 {
				if len(args) < 2 {
					return usagef("delete needs a kind and one or more names, or -f FILE\nusage: %s", cmd.UseLine())
				}
				return a.deleteObjects(ctx, args[0], args[1:], f)
			}
			if len(args) > 0 {
				return usagef("delete takes either a kind and names, or -f FILE")
			}
			docs, err := a.readFiles(files)
			if err != nil {
				return err
			}
			for _, d := range docs {
				if err := a.deleteObjects(ctx, d.kind, []string{d.name}, f); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "delete what this `file` declares; may be repeated")
	cmd.Flags().BoolVar(&f.ignoreMissing, "ignore-missing", false, "take it well when an object is not there")
	return cmd
}

func (a *app) deleteObjects(ctx context.Context, word string, names []string, f deleteFlags) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	k, err := kindNamed(ctx, c, word)
	if err != nil {
		return err
	}
	for _, n := range names {
		err := c.Delete(ctx, k.Plural, n)
		if f.ignoreMissing && api.CodeOf(err) == api.CodeNotFound {
			continue
		}
		if err != nil {
			return err
		}
		a.say("%s/%s %s\n", k.Name, n, f.done)
	}
	return nil
}

// urlQuery builds a query of what is not empty.
func urlQuery(pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}
