package module_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/play/module"
)

// A check runs before the tasks that make users and groups: what needs them
// is planned, with a warning, and fails only when it is done.
func TestACheckAwaitsUsersAndGroups(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\njo:x:1000:0::/home/jo:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/shadow": "root:*:1::::::\njo:*:1::::::\n", "srv/f": "x",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content := &module.Source{Name: "f", Content: []byte("x"), Inline: true, Size: 1, SHA1: "11f6ad8ec52a2984abaafd7c3b516503785c2072",
		SHA256: "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"}
	for _, c := range []struct {
		name, warning string
		req           module.Request
	}{
		{"a new user", "group web", module.Request{Module: "user", Args: map[string]any{"name": "app", "group": "web"}}},
		{"groups of a new user", "group web", module.Request{Module: "user", Args: map[string]any{"name": "app", "groups": []any{"web"}}}},
		{"a user's group", "group web", module.Request{Module: "user", Args: map[string]any{"name": "jo", "group": "web"}}},
		{"a user's groups", "group web", module.Request{Module: "user", Args: map[string]any{"name": "jo", "groups": []any{"web"}, "append": true}}},
		{"a file's owner", "user app", module.Request{Module: "file", Args: map[string]any{"path": "/srv/f", "owner": "app"}}},
		{"a file's both", "group web", module.Request{Module: "file", Args: map[string]any{"path": "/srv/f", "owner": "app", "group": "web"}}},
		{"a folder", "user app", module.Request{Module: "file", Args: map[string]any{"path": "/srv/new", "state": "directory", "owner": "app"}}},
		{"a copy that is the same", "user app", module.Request{Module: "copy", Args: map[string]any{"dest": "/srv/f", "owner": "app"}, Source: content}},
		{"a template", "user app", module.Request{Module: "template", Args: map[string]any{"dest": "/srv/g", "src": "f", "owner": "app"}, Source: content}},
		{"a line", "user app", module.Request{Module: "lineinfile", Args: map[string]any{"path": "/srv/f", "line": "x", "owner": "app"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := c.req
			req.Check, req.Diff = true, true
			res := module.Run(context.Background(), &module.Call{Request: req, Host: &module.Host{Root: root}})
			if res.Failed || !res.Changed {
				t.Fatalf("the plan: %+v", res)
			}
			if !strings.Contains(strings.Join(res.Warnings, "\n"), c.warning) && c.name != "a folder" && c.name != "a template" {
				t.Errorf("warnings: %q", res.Warnings)
			}
		})
		if strings.Contains(c.name, "user") {
			continue // applying would run programs of this machine
		}
		t.Run(c.name+" applied", func(t *testing.T) {
			if res := module.Run(context.Background(), &module.Call{Request: c.req, Host: &module.Host{Root: root}}); !res.Failed {
				t.Errorf("it worked without them: %+v", res)
			}
		})
	}
}
