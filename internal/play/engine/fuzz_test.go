package engine_test

import (
	"context"
	"testing"
	"testing/fstest"

	"drover/internal/play/engine"
)

func FuzzKeyValues(f *testing.F) {
	for _, s := range []string{"a=1 b='x y'", "src={{ a b }} dest=\"q\\\"\"", "{{", "a='", "=x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { _, _ = engine.KeyValues(s) })
}

// FuzzPlaybook loads, checks and runs whatever parses, over a host that answers.
func FuzzPlaybook(f *testing.F) {
	f.Add("- hosts: all\n  gather_facts: no\n  tasks:\n  - command: change x\n    loop: [1]\n    notify: h\n  handlers:\n  - name: h\n    debug: msg=hi\n")
	f.Add("- hosts: h\n  tasks:\n  - block: [{fail: {}}]\n    rescue: [{debug: {var: h}}]\n    always: [{meta: end_play}]\n")
	f.Add("- hosts: [h, '!h']\n  roles: [r]\n- import_playbook: site.yml\n")
	f.Add("- hosts: all\n  serial: [1, '50%']\n  vars: {a: '{{ a }}'}\n  tasks: [{include_tasks: site.yml}, {set_fact: {a: '{{ a }}'}}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		files := engine.Bundle(fstest.MapFS{"site.yml": {Data: []byte(text)}, "hosts": {Data: []byte("h\n")}})
		inv, err := engine.LoadInventory(engine.InventoryOptions{Files: files, Sources: []string{"hosts"}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := engine.LoadProject(engine.ProjectOptions{Files: files, Playbooks: []string{"site.yml"}})
		if err != nil || len(p.Check(inv)) > 0 {
			return
		}
		ctx, stop := context.WithCancel(context.Background())
		defer stop()
		tasks := 0
		_, _ = p.Run(ctx, inv, engine.Options{Connector: &fake{}, Events: func(e engine.Event) {
			if tasks++; tasks > 200 || e.Kind == engine.EventRetry {
				stop()
			}
		}})
	})
}
