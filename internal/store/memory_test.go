package store_test

import (
	"testing"

	"drover/internal/store"
	"drover/internal/store/storetest"
)

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Backend {
		b := store.Memory()
		t.Cleanup(func() { b.Close() })
		return b
	})
}
