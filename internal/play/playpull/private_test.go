package playpull_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drover/internal/play/module"
)

const secrets = `
- hosts: all
  gather_facts: false
  tasks:
    - name: closed by its mode
      copy: {content: "password: hunter2-a\n", dest: /srv/a, mode: "0640"}
    - name: closed by a number
      copy: {content: "password: hunter2-b\n", dest: /srv/b, mode: 0600}
    - name: closed by words
      copy: {content: "password: hunter2-c\n", dest: /srv/c, mode: "u=rw,go="}
    - name: closed already
      lineinfile: {path: /srv/d, line: "password: hunter2-d"}
    - name: open
      copy: {content: "greeting: hello\n", dest: /srv/e, mode: "0644"}
    - name: closed now
      file: {path: /srv/f, mode: "0600"}
`

// What only root may read on a host is in no plan and no report.
func TestPrivateContentIsNotTold(t *testing.T) {
	fs := files()
	fs["secrets.yml"] = secrets
	w, err := newWorld(fs)
	if err != nil {
		t.Fatal(err)
	}
	root := newRoot(t)
	for name, mode := range map[string]os.FileMode{"d": 0o600, "f": 0o644} {
		if err := os.WriteFile(filepath.Join(root, "srv", name), []byte("old: hunter2-old\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, apply := range []bool{false, true} {
		res, err := w.executor(&module.Host{Root: root}).CheckApply(t.Context(), w.section(t, "secrets.yml"), apply)
		if err != nil || res.Failed {
			t.Fatalf("apply %v failed: %v %+v", apply, err, res)
		}
		text, err := json.Marshal(res)
		if err != nil {
			t.Fatal(err)
		}
		if i := bytes.Index(text, []byte("hunter2")); i >= 0 {
			t.Errorf("apply %v tells a secret: %s", apply, text[max(0, i-300):i+20])
		}
		if !bytes.Contains(text, []byte("greeting: hello")) {
			t.Errorf("apply %v does not tell what everybody may know: %s", apply, text)
		}
		if n := strings.Count(string(text), "the content is not shown"); n != 4 {
			t.Errorf("apply %v hides %d contents: %s", apply, n, text)
		}
		for _, task := range res.Tasks {
			if task.Name == "closed now" && (len(task.Diff) != 1 || !strings.Contains(task.Diff[0].After, "0600")) {
				t.Errorf("apply %v: the change of a mode is %+v", apply, task.Diff)
			}
		}
	}
}
