package repo

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"drover/api"
)

// How much of a diff is kept: a page cannot show more, and a push may hold
// everything there is.
const (
	maxDiffFiles = 1000
	maxFilePatch = 200 << 10
	maxPatches   = 2 << 20
	maxDiffList  = 16 << 20 // of the list of files
)

// emptyTree is what a first commit is compared with.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

// bigFile is the size of a file from which on git does not look for lines.
const bigFile = "1m"

// Diff is what changed between two commits; from may be empty, which is
// nothing at all. Renamed files are found.
func (r *Repo) Diff(ctx context.Context, from, to string) (files []api.FileDiff, truncated bool, err error) {
	if from == "" {
		from = emptyTree
	}
	for _, h := range []string{from, to} {
		if !hashForm.MatchString(h) {
			return nil, false, api.Errorf(api.CodeInvalid, "%q is not the hash of a commit", h)
		}
	}
	files, entries, truncated, err := r.diffFiles(ctx, from, to)
	if err == nil && len(files) > 0 {
		var cut bool
		cut, err = r.diffPatches(ctx, from, to, files, entries)
		truncated = truncated || cut
	}
	if err != nil {
		return nil, false, fmt.Errorf("cannot compare %s with %s: %w", short(to), short(from), err)
	}
	return files, truncated, nil
}

func short(hash string) string { return hash[:min(10, len(hash))] }

func diffArgs(more ...string) []string {
	return append([]string{"-c", "core.bigFileThreshold=" + bigFile, "-c", "diff.renameLimit=400", "diff-tree", "-r", "-M", "--no-ext-diff", "--no-textconv", "--no-color"}, more...)
}

// diffFiles lists the files with their lines counted. entries says in how many
// parts git tells each file's patch: a file that becomes a link is two.
func (r *Repo) diffFiles(ctx context.Context, from, to string) (files []api.FileDiff, entries []int, truncated bool, err error) {
	var out bytes.Buffer
	cmd := r.command(ctx, nil, diffArgs("--raw", "--numstat", "-z", from, to)...)
	cmd.Stdout = &limitWriter{w: &out, left: maxDiffList}
	if err := cmd.Run(); err != nil {
		return nil, nil, false, err
	}
	fields := strings.Split(out.String(), "\x00")
	next := func() string {
		if len(fields) == 0 {
			return ""
		}
		f := fields[0]
		fields = fields[1:]
		return f
	}
	for len(fields) > 0 && strings.HasPrefix(fields[0], ":") {
		// :100644 100755 HASH HASH M
		head := strings.Fields(strings.TrimPrefix(next(), ":"))
		if len(head) != 5 {
			return nil, nil, false, errors.New("git answered in another way than it should")
		}
		f, parts := api.FileDiff{Status: api.FileChanged}, 1
		switch head[4][0] {
		case 'A':
			f.Status = api.FileAdded
		case 'D':
			f.Status = api.FileRemoved
		case 'R':
			f.Status, f.From = api.FileRenamed, text(next())
		case 'T':
			parts = 2
		}
		f.Path = text(next())
		if f.Status != api.FileAdded && f.Status != api.FileRemoved && head[0] != head[1] {
			f.Mode = head[0] + " " + head[1]
		}
		files, entries = append(files, f), append(entries, parts)
	}
	for i := range files {
		// ADDED<tab>REMOVED<tab>PATH, or without a path and then two of them for a rename.
		stat := strings.SplitN(next(), "\t", 3)
		if len(stat) != 3 {
			return nil, nil, false, errors.New("git answered in another way than it should")
		}
		if stat[2] == "" {
			next()
			next()
		}
		if stat[0] == "-" {
			files[i].Binary = true
			continue
		}
		files[i].Added, _ = strconv.Atoi(stat[0])
		files[i].Removed, _ = strconv.Atoi(stat[1])
	}
	if len(files) > maxDiffFiles {
		return files[:maxDiffFiles], entries[:maxDiffFiles], true, nil
	}
	return files, entries, false, nil
}

func text(s string) string { return strings.ToValidUTF8(s, "�") }

// errEnough ends the reading of patches.
var errEnough = errors.New("enough")

// diffPatches fills in the patches, as far as there is room for them.
func (r *Repo) diffPatches(ctx context.Context, from, to string, files []api.FileDiff, entries []int) (cut bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := r.command(ctx, nil, diffArgs("-p", "--unified=3", "--full-index", from, to)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	p := &patches{files: files, parts: entries, file: -1, left: maxPatches}
	err = p.read(out)
	if err != nil {
		cancel() // it would wait for ever to be read
	}
	ended := cmd.Wait()
	if errors.Is(err, errEnough) {
		err = nil
	} else if err == nil {
		err = ended
	}
	return p.finish(), err
}

// patches puts what git says into the files, in the order of both.
type patches struct {
	files []api.FileDiff
	parts []int
	file  int // being read
	part  int // of that file
	body  bool
	cut   bool
	left  int
	text  strings.Builder
}

func (p *patches) read(in io.Reader) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	begins := true // of a line: a very long one comes in pieces
	for {
		b, err := lines.ReadSlice('\n')
		if len(b) > 0 {
			if err := p.line(b, begins); err != nil {
				return err
			}
			begins = b[len(b)-1] == '\n'
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// line takes one line. Lines of content begin with ' ', '+', '-' or '\'.
func (p *patches) line(b []byte, begins bool) error {
	if begins && bytes.HasPrefix(b, []byte("diff --git ")) {
		p.body = false
		if p.file >= 0 && p.part+1 < p.parts[p.file] {
			p.part++
			return nil
		}
		p.close()
		p.file, p.part = p.file+1, 0
		if p.file == len(p.files) || p.left <= 0 {
			return errEnough
		}
		return nil
	}
	if p.file < 0 {
		return nil
	}
	if begins && !p.body && bytes.HasPrefix(b, []byte("@@ ")) {
		p.body = true
	}
	if !p.body {
		return nil
	}
	if p.text.Len()+len(b) > min(maxFilePatch, p.left) {
		p.files[p.file].Cut, p.cut = true, true
		return nil
	}
	if !p.files[p.file].Cut {
		p.text.Write(b)
	}
	return nil
}

func (p *patches) close() {
	if p.file < 0 || p.file >= len(p.files) {
		return
	}
	f := &p.files[p.file]
	f.Patch = text(p.text.String())
	if f.Cut {
		// Whole lines only, so that it can still be read as a patch.
		f.Patch = f.Patch[:strings.LastIndexByte(f.Patch, '\n')+1]
	}
	p.left -= p.text.Len()
	p.text.Reset()
}

// finish says of files that were not reached that their patches are missing.
func (p *patches) finish() (cut bool) {
	p.close()
	for i := max(p.file, 0); i < len(p.files); i++ {
		if f := &p.files[i]; f.Patch == "" && !f.Binary && f.Added+f.Removed > 0 {
			f.Cut, p.cut = true, true
		}
	}
	return p.cut
}
