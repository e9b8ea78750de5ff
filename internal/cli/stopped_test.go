package cli

import (
	"bytes"
	"context"
	"errors"
	"testing"
)

// What a broken stream says after Ctrl-C is of no interest to who pressed it.
func TestStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	broken := errors.New("stream error: context canceled")
	if err := stopped(ctx, broken); !errors.Is(err, broken) {
		t.Errorf("without Ctrl-C: %v", err)
	}
	cancel()
	var out bytes.Buffer
	a := &app{Options: Options{Err: &out, Out: &out, Getenv: func(string) string { return "" }}}
	if code := a.fail(ctx, stopped(ctx, broken)); code != ExitInterrupted || out.String() != "stopped\n" {
		t.Errorf("exit %d, %q", code, out.String())
	}
	if err := stopped(ctx, nil); err != nil {
		t.Errorf("what ended well: %v", err)
	}
}
