package module

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// attrs are the file attributes a task asks for.
type attrs struct {
	mode         any // nil: as it is
	owner, group string
	attributes   string // chattr's letters
	selinux      [4]string

	haveIDs  bool // uid and gid instead of owner and group
	uid, gid int
}

// fileAttrs are the file attributes in the arguments.
func (c *Call) fileAttrs() *attrs {
	a := &attrs{owner: c.Str("owner"), group: c.Str("group"), attributes: c.Str("attributes"),
		selinux: [4]string{c.Str("seuser"), c.Str("serole"), c.Str("setype"), c.Str("selevel")}}
	if m := c.Raw("mode"); m != nil && m != "" && m != "preserve" {
		a.mode = m
	}
	return a
}

// empty reports whether nothing is asked for.
func (a *attrs) empty() bool {
	return a.mode == nil && a.owner == "" && a.group == "" && a.attributes == "" && a.selinux == [4]string{}
}

// ids are the wanted owner and group by number, -1 where none is wanted.
func (a *attrs) ids(h *Host) (uid, gid int, err error) {
	if a.haveIDs {
		return a.uid, a.gid, nil
	}
	uid, gid = -1, -1
	if a.owner != "" {
		if n, err := strconv.Atoi(a.owner); err == nil {
			uid = n
		} else if u, ok := h.UserByName(a.owner); ok {
			uid = u.UID
		} else {
			return -1, -1, fmt.Errorf("chown failed: failed to look up user %s", a.owner)
		}
	}
	if a.group != "" {
		if n, err := strconv.Atoi(a.group); err == nil {
			gid = n
		} else if g, ok := h.GroupByName(a.group); ok {
			gid = g.GID
		} else {
			return -1, -1, fmt.Errorf("chgrp failed: failed to look up group %s", a.group)
		}
	}
	return uid, gid, nil
}

// attrChange gathers what attributes were and became, for diff and record.
type attrChange struct{ before, after map[string]any }

func newAttrChange() *attrChange {
	return &attrChange{before: map[string]any{}, after: map[string]any{}}
}

func (d *attrChange) add(key string, before, after any) {
	if d != nil {
		d.before[key], d.after[key] = before, after
	}
}

// apply brings the attributes of path to what a asks for and reports whether
// anything was (in check mode: would be) changed. A symbolic link is itself
// changed unless follow is set.
func (h *Host) apply(path string, a *attrs, follow, check bool, d *attrChange) (changed bool, err error) {
	if a.empty() && !a.haveIDs {
		return false, nil
	}
	uid, gid, err := a.ids(h)
	if err != nil {
		return false, err
	}
	fi, err := h.Lstat(path)
	if err == nil && fi.Mode()&fs.ModeSymlink != 0 && follow {
		path = h.Realpath(path)
		fi, err = h.Lstat(path)
	}
	if err != nil {
		if check {
			return true, nil // it would be there by then
		}
		return false, fmt.Errorf("cannot read %s: %w", path, err)
	}
	real, st := h.Path(path), sysStat(fi)
	link := fi.Mode()&fs.ModeSymlink != 0
	if !link {
		ch, err := h.setLabel(real, a.selinux, check, d)
		if err != nil {
			return changed, err
		}
		changed = changed || ch
	}
	chown := false
	if uid >= 0 && int(st.Uid) != uid {
		chown = true
		d.add("owner", int64(st.Uid), int64(uid))
	}
	if gid >= 0 && int(st.Gid) != gid {
		chown = true
		d.add("group", int64(st.Gid), int64(gid))
	}
	if chown {
		changed = true
		if !check {
			if err := os.Lchown(real, uid, gid); err != nil {
				return changed, fmt.Errorf("chown failed: %w", err)
			}
		}
	}
	if a.mode != nil && !link {
		cur := st.Mode & 0o7777
		want, err := parseMode(a.mode, cur, fi.IsDir(), umask())
		if err != nil {
			return changed, err
		}
		if want != cur {
			changed = true
			d.add("mode", modeString(cur), modeString(want))
		}
		if !check && (want != cur || chown && want&0o6000 != 0) { // chown drops setuid
			if err := unix.Chmod(real, want); err != nil {
				return changed, fmt.Errorf("chmod failed: %w", err)
			}
		}
	}
	if a.attributes != "" && !link {
		ch, err := setFlags(real, a.attributes, check, d)
		if err != nil {
			return changed, err
		}
		changed = changed || ch
	}
	return changed, nil
}

// flagLetters are chattr's letters and the kernel's bits, in lsattr's order.
var flagLetters = []struct {
	letter byte
	bit    uint32
}{
	{'s', 0x1}, {'u', 0x2}, {'S', 0x8}, {'D', 0x10000}, {'i', 0x10}, {'a', 0x20}, {'d', 0x40}, {'A', 0x80},
	{'c', 0x4}, {'B', 0x200}, {'Z', 0x100}, {'X', 0x400}, {'E', 0x800}, {'j', 0x4000}, {'I', 0x1000}, {'t', 0x8000},
	{'T', 0x20000}, {'h', 0x40000}, {'C', 0x800000}, {'e', 0x80000}, {'N', 0x10000000}, {'P', 0x20000000}, {'F', 0x40000000}, {'V', 0x100000},
}

// readFlags are the attributes lsattr shows, as letters.
func readFlags(real string) (bits uint32, letters string, err error) {
	fd, err := unix.Open(real, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, "", err
	}
	defer unix.Close(fd)
	n, err := unix.IoctlGetInt(fd, unix.FS_IOC_GETFLAGS)
	if err != nil {
		return 0, "", err
	}
	bits = uint32(n)
	var b strings.Builder
	for _, f := range flagLetters {
		if bits&f.bit != 0 {
			b.WriteByte(f.letter)
		}
	}
	return bits, b.String(), nil
}

func setFlags(real, want string, check bool, d *attrChange) (bool, error) {
	cur, letters, err := readFlags(real)
	if err != nil {
		return false, fmt.Errorf("chattr failed: %w", err)
	}
	op, list := byte('='), want
	if want[0] == '+' || want[0] == '-' || want[0] == '=' {
		op, list = want[0], want[1:]
	}
	var bits uint32
	for i := range len(list) {
		found := false
		for _, f := range flagLetters {
			if f.letter == list[i] {
				bits |= f.bit
				found = true
			}
		}
		if !found {
			return false, fmt.Errorf("chattr failed: unknown attribute %q", list[i])
		}
	}
	const settable = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80 | 0x4000 | 0x8000 | 0x10000 | 0x20000 | 0x800000 | 0x20000000
	next := cur
	switch op {
	case '+':
		next |= bits
	case '-':
		next &^= bits
	case '=':
		next = cur&^settable | bits
	}
	if next == cur {
		return false, nil
	}
	d.add("attributes", letters, string(op)+list)
	if check {
		return true, nil
	}
	fd, err := unix.Open(real, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("chattr failed: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, int(next)); err != nil {
		return false, fmt.Errorf("chattr failed: %w", err)
	}
	return true, nil
}

// setLabel sets the parts of a SELinux context that are wanted; a host
// without SELinux has none to set, which Ansible does not mind either.
func (h *Host) setLabel(real string, want [4]string, check bool, d *attrChange) (bool, error) {
	if want == [4]string{} || h.Root != "" {
		return false, nil
	}
	if _, err := os.Stat("/sys/fs/selinux/enforce"); err != nil {
		return false, nil
	}
	buf := make([]byte, 1024)
	n, err := unix.Lgetxattr(real, "security.selinux", buf)
	if err != nil {
		return false, fmt.Errorf("cannot read the SELinux context of %s: %w", real, err)
	}
	cur := strings.TrimRight(string(buf[:n]), "\x00")
	parts := strings.SplitN(cur, ":", 4)
	for i, w := range want {
		if w != "" && w != "_default" && i < len(parts) {
			parts[i] = w
		}
	}
	next := strings.Join(parts, ":")
	if next == cur {
		return false, nil
	}
	d.add("secontext", cur, next)
	if check {
		return true, nil
	}
	if err := unix.Lsetxattr(real, "security.selinux", []byte(next), 0); err != nil {
		return false, fmt.Errorf("set selinux context failed: %w", err)
	}
	return true, nil
}

// fileState is "absent", "file", "directory", "link" or "hard", as Ansible tells them.
func (h *Host) fileState(path string) string {
	fi, err := h.Lstat(path)
	switch {
	case err != nil:
		return "absent"
	case fi.Mode()&fs.ModeSymlink != 0:
		return "link"
	case fi.IsDir():
		return "directory"
	case sysStat(fi).Nlink > 1:
		return "hard"
	}
	return "file"
}

// pathInfo adds owner, group, mode, size and state of path to a result, as every
// module that returns a path or dest does.
func (c *Call) pathInfo(r *Result, path string) *Result {
	fi, err := c.Host.Lstat(path)
	if err != nil {
		if !c.Check || r.Values["state"] == nil {
			r.Set("state", "absent")
		}
		return r
	}
	st := sysStat(fi)
	r.Set("uid", int64(st.Uid)).Set("gid", int64(st.Gid)).Set("mode", modeString(st.Mode)).Set("size", fi.Size())
	r.Set("owner", c.Host.ownerName(int(st.Uid))).Set("group", c.Host.groupName(int(st.Gid)))
	return r.Set("state", c.Host.fileState(path))
}

func (h *Host) ownerName(uid int) string {
	if a, ok := h.UserByID(uid); ok {
		return a.Name
	}
	return strconv.Itoa(uid)
}

func (h *Host) groupName(gid int) string {
	if g, ok := h.GroupByID(gid); ok {
		return g.Name
	}
	return strconv.Itoa(gid)
}

// record is what a typed Change says of a file: what it is and whose.
func (h *Host) record(path string) any {
	fi, err := h.Lstat(path)
	if err != nil {
		return nil
	}
	st := sysStat(fi)
	m := map[string]any{"state": h.fileState(path), "mode": modeString(st.Mode), "owner": h.ownerName(int(st.Uid)), "group": h.groupName(int(st.Gid))}
	switch {
	case fi.Mode().IsRegular():
		m["size"] = fi.Size()
		if sum, err := h.sums(path); err == nil {
			m["sha256"] = sum.sha256
		}
	case fi.Mode()&fs.ModeSymlink != 0:
		if t, err := os.Readlink(h.Path(path)); err == nil {
			m["target"] = t
		}
	}
	return m
}
