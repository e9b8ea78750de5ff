package etcd

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"go.etcd.io/etcd/server/v3/embed"
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

// slogCore is a zap core that writes warnings and worse to slog.
type slogCore struct {
	to     *slog.Logger
	fields []zapcore.Field
}

func (c slogCore) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

func (c slogCore) With(f []zapcore.Field) zapcore.Core {
	return slogCore{c.to, append(c.fields[:len(c.fields):len(c.fields)], f...)}
}

func (c slogCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
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
	args := make([]any, 0, len(enc.Fields))
	for k, v := range enc.Fields {
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
