package etcd_test

import (
	"context"
	"testing"

	"drover/internal/store"
	"drover/internal/store/etcd"
	"drover/internal/store/storetest"
)

func open(t testing.TB, c etcd.Config) *etcd.Backend {
	t.Helper()
	if c.Dir == "" {
		c.Dir = t.TempDir()
	}
	b, err := etcd.Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestEmbedded(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Backend { return open(t, etcd.Config{NoSync: true}) })
}

func TestExternal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Backend {
		url := "unix://" + t.TempDir() + "/etcd.sock"
		open(t, etcd.Config{NoSync: true, Listen: url})
		b, err := etcd.Dial(t.Context(), etcd.External{Endpoints: []string{url}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	})
}
