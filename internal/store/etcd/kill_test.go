package etcd_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"drover/api"
	"drover/internal/store"
	"drover/internal/store/etcd"
)

// TestMain lets a test run this program again as a server that it kills, or
// as one on a small disk of its own.
func TestMain(m *testing.M) {
	switch dir := os.Getenv("ETCD_TEST_DIR"); os.Getenv("ETCD_TEST_ROLE") {
	case "writer":
		writer(dir)
	case "small-disk":
		smallDisk(dir)
	case "small-disk-again":
		smallDiskAgain(dir)
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, role, dir string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "ETCD_TEST_ROLE="+role, "ETCD_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

// writer says each write only after it was acknowledged, until it is killed.
func writer(dir string) {
	b, err := etcd.Open(context.Background(), etcd.Config{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for g := range 4 {
		go func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("k/%d/%d/%06d", os.Getpid(), g, i)
				ops := []store.Op{{Key: key, Value: []byte(key)}, {Key: "twin/" + key, Value: []byte(key)}}
				if _, _, err := b.Txn(context.Background(), nil, ops); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				fmt.Println(key)
			}
		}()
	}
	select {}
}

// kill -9 at any moment loses no acknowledged write and leaves none half done.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]bool{}
	for round := range 3 {
		cmd := child(t, "writer", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		stop := len(acked) + 200 + 137*round
		for in.Scan() {
			if acked[in.Text()] = true; len(acked) == stop {
				if err := cmd.Process.Kill(); err != nil { // SIGKILL
					t.Fatal(err)
				}
			}
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ended by itself: %v", err)
		}
		b, err := etcd.Open(t.Context(), etcd.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		kvs, _, err := b.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, kv := range kvs {
			have[kv.Key] = true
		}
		for key := range acked {
			if !have[key] {
				t.Errorf("round %d: the acknowledged write of %s is lost", round, key)
			}
		}
		for key := range have {
			if twin := "twin/" + key; !strings.HasPrefix(key, "twin/") && !have[twin] {
				t.Errorf("round %d: half a transaction: %s without %s", round, key, twin)
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d acknowledged writes, none lost", len(acked))
}

// A second server on the same folder is told so; a second process too, since
// the lock is the file's.
func TestLocked(t *testing.T) {
	dir := t.TempDir()
	b := open(t, etcd.Config{Dir: dir, NoSync: true})
	_, err := etcd.Open(t.Context(), etcd.Config{Dir: dir, NoSync: true})
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeUnavailable || !strings.Contains(e.Message, "another server is using it (process "+fmt.Sprint(os.Getpid())) || e.Remedy == "" {
		t.Fatalf("got %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, etcd.Config{Dir: dir, NoSync: true})
}

// Damaged files are an error with a remedy, not the end of the process.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	b := open(t, etcd.Config{Dir: dir, NoSync: true})
	if _, _, err := b.Txn(t.Context(), nil, []store.Op{{Key: "a", Value: []byte("1")}}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	db := dir + "/member/snap/db"
	raw, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	for i := range min(len(raw), 16<<10) {
		raw[i] = 'x'
	}
	if err := os.WriteFile(db, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = etcd.Open(t.Context(), etcd.Config{Dir: dir, NoSync: true})
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeUnavailable || !strings.Contains(e.Remedy, "backup") {
		t.Fatalf("got %v", err)
	}
}

// smallDisk fills a disk of its own below the reserve, then altogether.
func smallDisk(dir string) {
	die := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		os.Exit(1)
	}
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		die("private mounts: %v", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=300m"); err != nil {
		die("tmpfs: %v", err)
	}
	ctx := context.Background()
	fill := func(name string, n int) error {
		return os.WriteFile(dir+"/"+name, make([]byte, n), 0o600)
	}
	empty := func() {
		for i := range 200 {
			_ = os.Remove(fmt.Sprint(dir, "/other", i))
		}
	}
	put := func(b *etcd.Backend, key string) error {
		_, _, err := b.Txn(ctx, nil, []store.Op{{Key: key, Value: make([]byte, 60<<10)}})
		return err
	}
	b, err := etcd.Open(ctx, etcd.Config{Dir: dir + "/etcd", Reserve: 16 << 20})
	if err != nil {
		die("open: %v", err)
	}
	if err := put(b, "before"); err != nil {
		die("before: %v", err)
	}
	for i := 0; ; i++ { // the engine takes space of its own meanwhile
		var s syscall.Statfs_t
		if err := syscall.Statfs(dir, &s); err != nil {
			die("%v", err)
		}
		free := int(s.Bavail) * int(s.Bsize)
		if free < 15<<20 {
			break
		}
		_ = fill(fmt.Sprint("other", i), min(free-14<<20, 2<<20))
	}
	err = put(b, "refused")
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeUnavailable || !strings.Contains(e.Message, "is full") || e.Remedy == "" {
		die("a nearly full disk: %v", err)
	}
	if kv, _, err := b.Get(ctx, "before"); err != nil || kv == nil {
		die("reading while full: %v %v", kv, err)
	}
	if h := b.Health(ctx); len(h.Problems) == 0 {
		die("healthy while full")
	}
	empty()
	if err := put(b, "after"); err != nil {
		die("after space was freed: %v", err)
	}
	if err := b.Close(); err != nil {
		die("close: %v", err)
	}
	// Without a reserve the engine itself meets the end of the disk.
	if b, err = etcd.Open(ctx, etcd.Config{Dir: dir + "/etcd", Reserve: -1}); err != nil {
		die("open again: %v", err)
	}
	for i := range 200 { // in steps: leave nothing
		if fill(fmt.Sprint("other", i), 4<<20) != nil {
			break
		}
	}
	var acked []string
	for i := 0; err == nil && i < 20_000; i++ {
		key := fmt.Sprint("n", i)
		if err = put(b, key); err == nil {
			acked = append(acked, key)
		}
	}
	if !errors.As(err, &e) || e.Code != api.CodeUnavailable || e.Remedy == "" {
		die("a full disk: %v", err)
	}
	fmt.Printf("after %d writes: %v\n", len(acked), err)
	if b.Err() != nil {
		<-b.Failed()
	}
	_ = b.Close()
	empty()
	// As a server would be, it is started again, with room.
	_ = os.Setenv("ETCD_TEST_ROLE", "small-disk-again")
	_ = os.Setenv("ETCD_TEST_KEYS", strings.Join(append(acked, "before", "after"), " "))
	die("start again: %v", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
}

// smallDiskAgain looks what is left.
func smallDiskAgain(dir string) {
	ctx := context.Background()
	b, err := etcd.Open(ctx, etcd.Config{Dir: dir + "/etcd", Reserve: -1})
	for _, key := range strings.Fields(os.Getenv("ETCD_TEST_KEYS")) {
		var kv *store.KV
		if err == nil {
			kv, _, err = b.Get(ctx, key)
		}
		if err == nil && kv == nil {
			err = errors.New(key + " is lost")
		}
	}
	if err == nil {
		err = b.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ok")
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a disk of its own takes root")
	}
	cmd := child(t, "small-disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if err != nil || !strings.HasSuffix(string(out), "ok\n") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func TestExternalErrors(t *testing.T) {
	for _, c := range []struct {
		name, ep string
		code     api.Code
	}{
		{"no address", "", api.CodeInvalid},
		{"no URL", "etcd-1:2379", api.CodeInvalid},
		{"nobody there", "unix://" + t.TempDir() + "/none.sock", api.CodeUnavailable},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := etcd.Dial(ctx, etcd.External{Endpoints: []string{c.ep}})
		cancel()
		var e *api.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Remedy == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
