package fleet_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"drover/internal/fleet"
)

// A bundle goes when no assignment and none of the last revisions names it,
// and not while it is young.
func TestOldBundlesAreRemoved(t *testing.T) {
	w := newWorld(t, fleet.Options{})
	w.add("web-1", "web-2")
	old := func(content string) string {
		hash := sum([]byte(content))
		path := w.srv.Services().Blobs.Path(hash)
		then := time.Now().Add(-48 * time.Hour)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatalf("the bundle of %q is not there: %v", content, err)
		}
		return hash
	}
	const revisions = 8
	var hashes []string
	for i := range revisions {
		site := fmt.Sprintf("- hosts: all # %d\n", i)
		files := []string{"site.yml", site}
		if i == 0 {
			files = append(files, "inventory", "web-1 web\nweb-2 web\n")
		}
		w.commit(fmt.Sprintf("Number %d", i), files...)
		w.pushed("remote: Accepted")
		if i < revisions-2 { // all but the two newest are old enough
			hashes = append(hashes, old(site))
		} else {
			hashes = append(hashes, sum([]byte(site)))
		}
	}
	w.restart()
	blobs := w.srv.Services().Blobs
	w.until("the bundles of the first three revisions are gone", func() bool {
		return !blobs.Has(hashes[0]) && !blobs.Has(hashes[1]) && !blobs.Has(hashes[2])
	})
	for i, h := range hashes[3:] {
		if !blobs.Has(h) {
			t.Errorf("the bundle of revision %d of %d is gone", i+3, revisions)
		}
	}

	// Going back to the first packs it again, and its hosts may fetch it.
	w.commit("As at first", "site.yml", "- hosts: all # 0\n")
	w.pushed("remote: Accepted")
	if !blobs.Has(hashes[0]) {
		t.Error("the bundle of a revision that came back is not there")
	}
}
