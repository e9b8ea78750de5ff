package cli

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress shows that something goes on: nothing for the first second, then
// one line that is rewritten on a terminal, or elsewhere written now and then
// when its text has changed. It belongs to one command, which ends it.
type progress struct {
	w     io.Writer
	tty   bool
	quiet bool
	style func(tone, string) string

	mu    sync.Mutex
	text  string
	shown string
	begin time.Time
	wrote time.Time // the last line, elsewhere than on a terminal
	stop  chan struct{}
	done  chan struct{}
}

const (
	progressAfter = time.Second
	progressEvery = 5 * time.Second // in a log, a line for each change would bury the rest
)

var spinner = [...]string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// progress begins to show text on standard error.
func (a *app) progress(text string) *progress {
	p := &progress{w: a.Err, tty: a.errTerminal() && a.Getenv("TERM") != "dumb", quiet: a.quiet || a.structured(), style: a.style,
		text: text, begin: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	go p.run()
	return p
}

// Set changes the text.
func (p *progress) Set(format string, args ...any) {
	p.mu.Lock()
	p.text = fmt.Sprintf(format, args...)
	p.mu.Unlock()
}

// End removes the line. It may be called twice.
func (p *progress) End() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	<-p.done
}

func (p *progress) run() {
	defer close(p.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			if p.tty && p.shown != "" {
				fmt.Fprint(p.w, "\r\x1b[K")
			}
			return
		case <-tick.C:
			p.show(i)
		}
	}
}

func (p *progress) show(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := time.Since(p.begin)
	if p.quiet || since < progressAfter {
		return
	}
	if p.tty {
		p.shown = p.text
		fmt.Fprintf(p.w, "\r\x1b[K%s %s %s", spinner[i%len(spinner)], p.text, p.style(dim, short(since)))
		return
	}
	if p.shown != p.text && time.Since(p.wrote) >= progressEvery {
		p.shown, p.wrote = p.text, time.Now()
		fmt.Fprintln(p.w, p.text)
	}
}
