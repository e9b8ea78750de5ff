package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Attrs are the file attributes a task asks for.
type Attrs struct {
	Mode         any // nil: as it is
	Owner, Group string
	Attributes   string // chattr's letters
	SELinux      [4]string

	HaveIDs  bool // uid and gid instead of owner and group
	UID, GID int
}

// Empty reports whether nothing is asked for.
func (a *Attrs) Empty() bool {
	return a.Mode == nil && a.Owner == "" && a.Group == "" && a.Attributes == "" && a.SELinux == [4]string{}
}

// IDs are the wanted owner and group by number, -1 where none is wanted.
func (a *Attrs) IDs(h *Host) (uid, gid int, err error) {
	if a.HaveIDs {
		return a.UID, a.GID, nil
	}
	uid, gid = -1, -1
	if a.Owner != "" {
		if n, err := strconv.Atoi(a.Owner); err == nil {
			uid = n
		} else if u, ok := h.UserByName(a.Owner); ok {
			uid = u.UID
		} else {
			return -1, -1, &NoAccount{"user", a.Owner, "chown failed: failed to look up user " + a.Owner}
		}
	}
	if a.Group != "" {
		if n, err := strconv.Atoi(a.Group); err == nil {
			gid = n
		} else if g, ok := h.GroupByName(a.Group); ok {
			gid = g.GID
		} else {
			return -1, -1, &NoAccount{"group", a.Group, "chgrp failed: failed to look up group " + a.Group}
		}
	}
	return uid, gid, nil
}

// NoAccount is the error of a user or group that is not there.
type NoAccount struct{ Kind, Name, msg string }

func (e *NoAccount) Error() string { return e.msg }

// AttrChange gathers what attributes were and became, for diff and record.
type AttrChange struct {
	Before, After map[string]any
	// Awaited are the users and groups that a check did not find, and took for
	// ones that an earlier task makes.
	Awaited []NoAccount
}

// await plans what a check can tell of attributes whose owner or group is not
// there yet: that they will change, and all else.
func (h *Host) await(path string, a *Attrs, follow bool, d *AttrChange, missing *NoAccount) (bool, error) {
	if d != nil {
		d.Awaited = append(d.Awaited, *missing)
		if fi, err := h.Lstat(path); err == nil {
			if missing.Kind == "user" {
				d.Add("owner", int64(RawStat(fi).Uid), missing.Name)
			} else {
				d.Add("group", int64(RawStat(fi).Gid), missing.Name)
			}
		}
	}
	rest := *a
	if missing.Kind == "user" {
		rest.Owner = ""
	} else {
		rest.Group = ""
	}
	_, err := h.Apply(path, &rest, follow, true, d)
	return true, err
}

// NewAttrChange is one without changes.
func NewAttrChange() *AttrChange {
	return &AttrChange{Before: map[string]any{}, After: map[string]any{}}
}

// Add notes one attribute; a nil AttrChange notes nothing.
func (d *AttrChange) Add(key string, before, after any) {
	if d != nil {
		d.Before[key], d.After[key] = before, after
	}
}

// Apply brings the attributes of path to what a asks for and reports whether
// anything was (in check mode: would be) changed. A symbolic link is itself
// changed unless follow is set.
func (h *Host) Apply(path string, a *Attrs, follow, check bool, d *AttrChange) (changed bool, err error) {
	if a.Empty() && !a.HaveIDs {
		return false, nil
	}
	uid, gid, err := a.IDs(h)
	var missing *NoAccount
	if check && errors.As(err, &missing) {
		return h.await(path, a, follow, d, missing)
	}
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
	real, st := h.Path(path), RawStat(fi)
	link := fi.Mode()&fs.ModeSymlink != 0
	if !link {
		ch, err := h.setLabel(real, a.SELinux, check, d)
		if err != nil {
			return changed, err
		}
		changed = changed || ch
	}
	chown := false
	if uid >= 0 && int(st.Uid) != uid {
		chown = true
		d.Add("owner", int64(st.Uid), int64(uid))
	}
	if gid >= 0 && int(st.Gid) != gid {
		chown = true
		d.Add("group", int64(st.Gid), int64(gid))
	}
	if chown {
		changed = true
		if !check {
			if err := os.Lchown(real, uid, gid); err != nil {
				return changed, fmt.Errorf("chown failed: %w", err)
			}
		}
	}
	if a.Mode != nil && !link {
		cur := st.Mode & 0o7777
		want, err := ParseMode(a.Mode, cur, fi.IsDir(), Umask())
		if err != nil {
			return changed, err
		}
		if want != cur {
			changed = true
			d.Add("mode", ModeString(cur), ModeString(want))
		}
		if !check && (want != cur || chown && want&0o6000 != 0) { // chown drops setuid
			if err := unix.Chmod(real, want); err != nil {
				return changed, fmt.Errorf("chmod failed: %w", err)
			}
		}
	}
	if a.Attributes != "" && !link {
		ch, err := setFlags(real, a.Attributes, check, d)
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

// ReadFlags are the attributes lsattr shows, as letters.
func ReadFlags(real string) (bits uint32, letters string, err error) {
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

func setFlags(real, want string, check bool, d *AttrChange) (bool, error) {
	cur, letters, err := ReadFlags(real)
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
	d.Add("attributes", letters, string(op)+list)
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
func (h *Host) setLabel(real string, want [4]string, check bool, d *AttrChange) (bool, error) {
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
	d.Add("secontext", cur, next)
	if check {
		return true, nil
	}
	if err := unix.Lsetxattr(real, "security.selinux", []byte(next), 0); err != nil {
		return false, fmt.Errorf("set selinux context failed: %w", err)
	}
	return true, nil
}

// State is "absent", "file", "directory", "link" or "hard", as Ansible tells them.
func (h *Host) State(path string) string {
	fi, err := h.Lstat(path)
	switch {
	case err != nil:
		return "absent"
	case fi.Mode()&fs.ModeSymlink != 0:
		return "link"
	case fi.IsDir():
		return "directory"
	case RawStat(fi).Nlink > 1:
		return "hard"
	}
	return "file"
}

// OwnerName is a user's name, or its number if there is no such user.
func (h *Host) OwnerName(uid int) string {
	if a, ok := h.UserByID(uid); ok {
		return a.Name
	}
	return strconv.Itoa(uid)
}

// GroupName is a group's name, or its number if there is no such group.
func (h *Host) GroupName(gid int) string {
	if g, ok := h.GroupByID(gid); ok {
		return g.Name
	}
	return strconv.Itoa(gid)
}

// Record is what a typed Change says of a file: what it is and whose.
func (h *Host) Record(path string) any {
	fi, err := h.Lstat(path)
	if err != nil {
		return nil
	}
	st := RawStat(fi)
	m := map[string]any{"state": h.State(path), "mode": ModeString(st.Mode), "owner": h.OwnerName(int(st.Uid)), "group": h.GroupName(int(st.Gid))}
	switch {
	case fi.Mode().IsRegular():
		m["size"] = fi.Size()
		if sum, err := h.Sums(path); err == nil {
			m["sha256"] = sum.SHA256
		}
	case fi.Mode()&fs.ModeSymlink != 0:
		if t, err := os.Readlink(h.Path(path)); err == nil {
			m["target"] = t
		}
	}
	return m
}
