package machine

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

// Account is a line of /etc/passwd.
type Account struct {
	Name, Password     string
	UID, GID           int
	Gecos, Home, Shell string
}

// Group is a line of /etc/group.
type Group struct {
	Name    string
	GID     int
	Members []string
}

// Accounts are the lines of /etc/passwd.
func (h *Host) Accounts() []Account {
	var out []Account
	h.Fields("/etc/passwd", func(f []string) {
		if len(f) < 7 {
			return
		}
		uid, err1 := strconv.Atoi(f[2])
		gid, err2 := strconv.Atoi(f[3])
		if err1 == nil && err2 == nil {
			out = append(out, Account{Name: f[0], Password: f[1], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]})
		}
	})
	return out
}

// Groups are the lines of /etc/group.
func (h *Host) Groups() []Group {
	var out []Group
	h.Fields("/etc/group", func(f []string) {
		if len(f) < 4 {
			return
		}
		gid, err := strconv.Atoi(f[2])
		if err != nil {
			return
		}
		g := Group{Name: f[0], GID: gid}
		if f[3] != "" {
			g.Members = strings.Split(f[3], ",")
		}
		out = append(out, g)
	})
	return out
}

// Fields goes through a file of colon-separated lines; a missing one has none.
func (h *Host) Fields(file string, each func(fields []string)) {
	f, err := h.Open(file)
	if err != nil {
		return
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		each(strings.Split(s.Text(), ":"))
	}
}

// getent asks the name service for what /etc/passwd and /etc/group do not have.
func (h *Host) getent(db, key string) []string {
	if h.Root != "" || h.Exec != nil {
		return nil
	}
	if b, err := os.ReadFile("/etc/nsswitch.conf"); err != nil || !NSSBeyondFiles(string(b), db) {
		return nil
	}
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	out, err := h.Run(ctx, Cmd{Argv: []string{"getent", db, key}})
	if err != nil || out.Code != 0 {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out.Stdout)), ":")
}

// NSSBeyondFiles reports whether a database has a source other than files, so
// that the usual host never forks for a name it does not have.
func NSSBeyondFiles(conf, db string) bool {
	for line := range strings.Lines(conf) {
		k, v, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(k) != db {
			continue
		}
		for _, s := range strings.Fields(v) {
			if s != "files" && s != "compat" && !strings.HasPrefix(s, "[") {
				return true
			}
		}
	}
	return false
}

// UserByName finds a user.
func (h *Host) UserByName(name string) (Account, bool) {
	for _, a := range h.Accounts() {
		if a.Name == name {
			return a, true
		}
	}
	return accountOf(h.getent("passwd", name))
}

// UserByID finds a user by number.
func (h *Host) UserByID(uid int) (Account, bool) {
	for _, a := range h.Accounts() {
		if a.UID == uid {
			return a, true
		}
	}
	return accountOf(h.getent("passwd", strconv.Itoa(uid)))
}

func accountOf(f []string) (Account, bool) {
	if len(f) < 7 {
		return Account{}, false
	}
	uid, err1 := strconv.Atoi(f[2])
	gid, err2 := strconv.Atoi(f[3])
	return Account{Name: f[0], Password: f[1], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}, err1 == nil && err2 == nil
}

// GroupByName finds a group.
func (h *Host) GroupByName(name string) (Group, bool) {
	for _, g := range h.Groups() {
		if g.Name == name {
			return g, true
		}
	}
	return groupOf(h.getent("group", name))
}

// GroupByID finds a group by number.
func (h *Host) GroupByID(gid int) (Group, bool) {
	for _, g := range h.Groups() {
		if g.GID == gid {
			return g, true
		}
	}
	return groupOf(h.getent("group", strconv.Itoa(gid)))
}

func groupOf(f []string) (Group, bool) {
	if len(f) < 4 {
		return Group{}, false
	}
	gid, err := strconv.Atoi(f[2])
	g := Group{Name: f[0], GID: gid}
	if f[3] != "" {
		g.Members = strings.Split(f[3], ",")
	}
	return g, err == nil
}
