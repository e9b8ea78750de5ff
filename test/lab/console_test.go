package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// TestConsole looks at the console of a fleet of real hosts in a browser: every
// page that a link leads to works, is accessible and says nothing wrong, now
// that there are real facts, reports, metrics and units to show.
//
// It needs a browser and the console's build, so it is asked for by DROVER_LAB_CONSOLE=1.
func TestConsole(t *testing.T) {
	if os.Getenv("DROVER_LAB_CONSOLE") == "" {
		t.Skip("set DROVER_LAB_CONSOLE=1, after `make console`")
	}
	w := begin(t, 2)
	w.clone("web")
	w.push("A small web fleet")
	w.converged()
	web := filepath.Join("..", "..", "internal", "console", "web")
	if _, err := os.Stat(filepath.Join(web, "node_modules")); err != nil {
		t.Fatalf("the console is not built: run `make console` first")
	}
	log, err := os.ReadFile(filepath.Join(w.dir, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(`(?:--once |signin\?code=)([A-Za-z0-9]+)`).FindSubmatch(log)
	if code == nil {
		t.Fatal("the server printed no link for the first administrator")
	}
	url := fmt.Sprintf("https://localhost:%d", w.api)
	for _, file := range []string{"pages.test.mjs", "hosts.lab.mjs"} { // the first makes the administrator
		cmd := exec.CommandContext(t.Context(), "node", "--test", "--test-reporter=spec", filepath.Join("browser", file))
		cmd.Dir = web
		cmd.Env = append(os.Environ(), "DROVER_CONFIG="+filepath.Join(w.dir, "data", "admin.yml"),
			"DROVER_CONSOLE_URL="+url, "DROVER_CONSOLE_LINK="+url+"/signin?code="+string(code[1]))
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatalf("the console of real hosts: %v", err)
		}
	}
}
