package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"strings"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/raft/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLogger sends the engine's warnings to slog, and turns its habit of ending
// the process on a disk error into a failure of the backend.
func newLogger(to *slog.Logger, fail func(error)) func(*embed.Config) error {
	stop := stopHook{fail}
	return embed.NewZapLoggerBuilder(zap.New(slogCore{to: to}, zap.WithFatalHook(stop), zap.WithPanicHook(stop)))
}

// stopHook ends the goroutine that met the fault, not the process.
type stopHook struct{ fail func(error) }

func (s stopHook) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	if forgotten(e.Message) {
		return
	}
	msg := e.Message
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	if err, ok := enc.Fields["error"]; ok {
		msg += ": " + fmt.Sprint(err)
	}
	s.fail(errors.New(msg))
	runtime.Goexit()
}

// forgotten reports whether the engine, when it elects itself after a kill,
// cannot see if a change of members waits to be applied, because it has applied
// and forgotten what it looks for. There is one member, so there is no such
// change, and no fault: left alone, it goes on and elects itself.
func forgotten(msg string) bool {
	return strings.HasPrefix(msg, "error scanning unapplied entries") && strings.HasSuffix(msg, raft.ErrCompacted.Error())
}

// notYet is in what the engine says when, in a new store, it looks for its
// version before its first write; it looks again by itself.
const notYet = "missing term information"

// maxField bounds one field of a line in the log.
const maxField = 200

// slogCore is a zap core that writes warnings and worse to slog.
type slogCore struct {
	to     *slog.Logger
	fields []zapcore.Field
}

func (c slogCore) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (c slogCore) With(f []zapcore.Field) zapcore.Core {
	return slogCore{c.to, append(c.fields[:len(c.fields):len(c.fields)], f...)}
}

// harmless are warnings about what is meant to be so: nothing listens for
// etcd's clients, and nobody signs in to it.
var harmless = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"simple token is not cryptographically signed":                                         true,
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) && !harmless[e.Message] && !forgotten(e.Message) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c slogCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if c.to == nil {
		return nil
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(enc)
	}
	if err := fmt.Sprint(enc.Fields["error"]); strings.Contains(err, notYet) {
		return nil
	}
	args := make([]any, 0, len(enc.Fields))
	for _, k := range slices.Sorted(maps.Keys(enc.Fields)) {
		v := enc.Fields[k]
		// A slow request is logged with all it holds, which may be thousands of keys.
		if s, ok := v.(string); ok && len(s) > maxField {
			v = strings.ToValidUTF8(s[:maxField], "") + "…"
		}
		args = append(args, slog.Any(k, v))
	}
	if e.Level >= zapcore.ErrorLevel {
		c.to.Error("etcd: "+e.Message, args...)
	} else {
		c.to.Warn("etcd: "+e.Message, args...)
	}
	return nil
}

func (c slogCore) Sync() error { return nil }
