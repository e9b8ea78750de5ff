package module

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"drover/internal/play/pyre"
)

var waitForModule = &Module{
	Name: "wait_for",
	Params: []Param{
		{Name: "host", Default: "127.0.0.1"},
		{Name: "port", Type: Int},
		{Name: "path", Type: Path},
		{Name: "state", Default: "started", Choices: []string{"absent", "drained", "present", "started", "stopped"}},
		{Name: "timeout", Type: Int, Default: 300},
		{Name: "connect_timeout", Type: Int, Default: 5},
		{Name: "delay", Type: Int, Default: 0},
		{Name: "sleep", Type: Int, Default: 1},
		{Name: "search_regex"},
		{Name: "exclude_hosts", Type: List},
		{Name: "active_connection_states", Type: List, Default: []any{"ESTABLISHED", "FIN_WAIT1", "FIN_WAIT2", "SYN_RECV", "SYN_SENT", "TIME_WAIT"}},
		{Name: "msg"},
	},
	MutuallyExclusive: [][]string{{"path", "port"}},
	Run:               runWaitFor,
}

// waiting is one run of the module.
type waiting struct {
	*Call
	re     *pyre.Regexp
	groups []any
	dict   map[string]any
}

func runWaitFor(ctx context.Context, c *Call) *Result {
	w := &waiting{Call: c, groups: []any{}, dict: map[string]any{}}
	state := c.Str("state")
	if c.Has("path") && state == "drained" {
		return Fail("state=drained should only be used for checking a port in the wait_for module").Set("elapsed", 0)
	}
	if c.Has("exclude_hosts") && state != "drained" {
		return Fail("exclude_hosts should only be with state=drained").Set("elapsed", 0)
	}
	if c.Has("search_regex") {
		if state == "stopped" || state == "absent" || state == "drained" {
			return Fail("cannot use search_regex with state=%s: there is nothing to search", state).Set("elapsed", 0)
		}
		re, err := pyre.Compile(c.Str("search_regex"), true, false)
		if err != nil {
			return Fail("cannot use the search_regex %q: %v", c.Str("search_regex"), err).Set("elapsed", 0)
		}
		w.re = re
	}
	r := &Result{}
	if c.Check {
		r.Skipped = true
		return r.Set("elapsed", 0)
	}
	start := time.Now()
	elapsed := func() int64 { return int64(time.Since(start).Seconds()) }
	if !c.Has("port") && !c.Has("path") && state != "drained" {
		pause(ctx, time.Duration(c.Int("timeout"))*time.Second)
		return w.done(r, elapsed())
	}
	if !pause(ctx, time.Duration(c.Int("delay"))*time.Second) {
		return Fail("cannot go on waiting: %v", ctx.Err()).Set("elapsed", elapsed())
	}
	deadline := start.Add(time.Duration(c.Int("timeout")) * time.Second)
	for {
		if w.reached(ctx, deadline) {
			return w.done(r, elapsed())
		}
		rest := time.Until(deadline)
		if rest <= 0 {
			break
		}
		if !pause(ctx, min(time.Duration(max(c.Int("sleep"), 0))*time.Second, rest)) {
			return Fail("cannot go on waiting: %v", ctx.Err()).Set("elapsed", elapsed())
		}
	}
	msg := c.Str("msg")
	if msg == "" {
		msg = w.timeoutMessage()
	}
	return Fail("%s", msg).Set("elapsed", elapsed())
}

func (w *waiting) done(r *Result, elapsed int64) *Result {
	r.Set("elapsed", elapsed).Set("state", w.Str("state")).Set("search_regex", nil).Set("path", nil).Set("port", nil)
	if w.Has("search_regex") {
		r.Set("search_regex", w.Str("search_regex"))
	}
	if w.Has("path") {
		r.Set("path", w.Str("path"))
	}
	if w.Has("port") {
		r.Set("port", w.Int("port"))
	}
	return r.Set("match_groups", w.groups).Set("match_groupdict", w.dict)
}

func (w *waiting) timeoutMessage() string {
	where := w.Str("host") + ":" + strconv.FormatInt(w.Int("port"), 10)
	switch w.Str("state") {
	case "absent", "stopped":
		if w.Has("path") {
			return "Timeout when waiting for " + w.Str("path") + " to be absent."
		}
		return "Timeout when waiting for " + where + " to stop."
	case "drained":
		return "Timeout when waiting for " + where + " to drain"
	}
	switch {
	case w.Has("path") && w.re != nil:
		return "Timeout when waiting for search string " + w.Str("search_regex") + " in " + w.Str("path")
	case w.Has("path"):
		return "Timeout when waiting for file " + w.Str("path")
	case w.re != nil:
		return "Timeout when waiting for search string " + w.Str("search_regex") + " in " + where
	}
	return "Timeout when waiting for " + where
}

// pause waits; false means that the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// reached looks once.
func (w *waiting) reached(ctx context.Context, deadline time.Time) bool {
	state := w.Str("state")
	absent := state == "absent" || state == "stopped"
	switch {
	case state == "drained":
		n, err := w.connections()
		return err == nil && n == 0
	case w.Has("path") && absent:
		_, err := w.Host.Stat(w.Str("path"))
		return err != nil
	case w.Has("path"):
		if _, err := w.Host.Stat(w.Str("path")); err != nil {
			return false
		}
		if w.re == nil {
			return true
		}
		b, err := w.Host.ReadFile(w.Str("path"))
		return err == nil && w.search(string(b))
	}
	limit := min(time.Duration(w.Int("connect_timeout"))*time.Second, max(time.Until(deadline), time.Second))
	d := net.Dialer{Timeout: limit}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(w.Str("host"), strconv.FormatInt(w.Int("port"), 10)))
	if err != nil {
		return absent
	}
	defer conn.Close()
	if absent {
		return false
	}
	return w.re == nil || w.searchStream(conn, deadline)
}

func (w *waiting) search(text string) bool {
	at, err := w.re.Find(text)
	if err != nil || at == nil {
		return false
	}
	group := func(i int) any {
		if i < 0 || 2*i+1 >= len(at) || at[2*i] < 0 {
			return nil
		}
		return text[at[2*i]:at[2*i+1]]
	}
	if !w.Has("path") {
		return true // only a file's groups are told
	}
	w.groups, w.dict = []any{}, map[string]any{}
	for i := 1; i < len(at)/2; i++ {
		w.groups = append(w.groups, group(i))
	}
	for _, m := range namedGroup.FindAllStringSubmatch(w.Str("search_regex"), -1) {
		w.dict[m[1]] = group(w.re.Group(m[1]))
	}
	return true
}

var namedGroup = regexp.MustCompile(`\(\?P<([A-Za-z_][A-Za-z0-9_]*)>`)

// maxBanner bounds what is read of a connection to search in.
const maxBanner = 1 << 20

func (w *waiting) searchStream(conn net.Conn, deadline time.Time) bool {
	if conn.SetReadDeadline(deadline) != nil {
		return false
	}
	var got []byte
	buf := make([]byte, 4096)
	for len(got) < maxBanner {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if n > 0 && w.search(string(got)) {
			return true
		}
		if err != nil {
			return errors.Is(err, io.EOF) && w.search(string(got))
		}
	}
	return false
}

// tcpStates are the states of /proc/net/tcp by number.
var tcpStates = []string{"", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"}

// connections counts those on the port that are in one of the active states.
func (w *waiting) connections() (int, error) {
	states := w.List("active_connection_states")
	for _, s := range states {
		if !slices.Contains(tcpStates, strings.ToUpper(s)) {
			return 0, errors.New("unknown state " + s)
		}
	}
	var exclude []netip.Addr
	for _, h := range w.List("exclude_hosts") {
		if a, err := netip.ParseAddr(h); err == nil {
			exclude = append(exclude, a)
		}
	}
	local, anyLocal := netip.ParseAddr(w.Str("host"))
	n := 0
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		raw, err := w.Host.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(raw)) {
			f := strings.Fields(line)
			if len(f) < 4 || f[0] == "sl" {
				continue
			}
			la, lp, ok1 := procAddr(f[1])
			ra, _, ok2 := procAddr(f[2])
			st, err := strconv.ParseUint(f[3], 16, 8)
			if !ok1 || !ok2 || err != nil || int(st) >= len(tcpStates) || int64(lp) != w.Int("port") {
				continue
			}
			if !slices.ContainsFunc(states, func(s string) bool { return strings.EqualFold(s, tcpStates[st]) }) || slices.Contains(exclude, ra) {
				continue
			}
			if anyLocal == nil && !local.IsUnspecified() && la != local {
				continue
			}
			n++
		}
	}
	return n, nil
}

// procAddr reads an address as /proc/net/tcp writes it: words of four bytes in
// the machine's order, and a port.
func procAddr(s string) (netip.Addr, uint16, bool) {
	a, p, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(a)
	port, perr := strconv.ParseUint(p, 16, 16)
	if !ok || err != nil || perr != nil || len(raw)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	addr, ok := netip.AddrFromSlice(raw)
	return addr.Unmap(), uint16(port), ok
}
