package agent

import (
	"os"
	"path/filepath"
	"testing"

	"drover/api"
)

func TestOnlyAnAgentsStateIsPurged(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := purgeable(dir); err != nil {
		t.Errorf("a folder that is gone already: %v", err)
	}
	if err := makeDirs(dir); err != nil {
		t.Fatal(err)
	}
	if err := purgeable(dir); err != nil {
		t.Error(err)
	}
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{other, "/", "/usr", "/var/lib"} {
		if err := purgeable(d); api.CodeOf(err) != api.CodeInvalid {
			t.Errorf("%s: %v", d, err)
		}
	}
}
