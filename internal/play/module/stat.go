package module

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"unicode/utf8"

	"drover/internal/play/machine"
	"drover/internal/play/param"

	"golang.org/x/sys/unix"
)

var statModule = &Module{
	Name: "stat",
	Params: []Param{
		{Name: "path", Aliases: []string{"dest", "name"}, Type: Path, Required: true},
		{Name: "follow", Type: Bool, Default: false},
		{Name: "get_checksum", Type: Bool, Default: true},
		{Name: "get_mime", Aliases: []string{"mime", "mime_type", "mime-type"}, Type: Bool, Default: true},
		{Name: "get_attributes", Aliases: []string{"attr", "attributes"}, Type: Bool, Default: true},
		{Name: "get_selinux_context", Type: Bool, Default: false},
		{Name: "checksum_algorithm", Aliases: []string{"checksum", "checksum_algo"}, Default: "sha1", Choices: []string{"md5", "sha1", "sha224", "sha256", "sha384", "sha512"}},
	},
	Run: runStat,
}

func runStat(_ context.Context, c *Call) *Result {
	h, path := c.Host, c.Str("path")
	look := h.Lstat
	if c.Bool("follow") {
		look = h.Stat
	}
	fi, err := look(path)
	if err != nil {
		if isMissing(err) {
			return (&Result{}).Set("stat", map[string]any{"exists": false})
		}
		return Fail("%s: '%s'", reason(err), path)
	}
	out := statMap(h, path, fi)
	mode := fi.Mode()
	if mode&fs.ModeSymlink != 0 {
		if t, err := os.Readlink(h.Path(path)); err == nil {
			out["lnk_source"], out["lnk_target"] = h.Realpath(path), t
		}
	}
	access := func(how uint32) bool { return unix.Access(h.Path(h.Realpath(path)), how) == nil }
	out["readable"], out["writeable"], out["executable"] = access(unix.R_OK), access(unix.W_OK), access(unix.X_OK)
	if c.Bool("get_checksum") && mode.IsRegular() {
		if sum, err := h.HashFile(path, c.Str("checksum_algorithm")); err == nil {
			out["checksum"] = sum
		}
	}
	if c.Bool("get_mime") {
		if lfi, err := h.Lstat(path); err == nil { // of the link itself, also with follow
			out["mimetype"], out["charset"] = mimeOf(h, path, lfi)
		}
	}
	if c.Bool("get_attributes") {
		addFlags(h, path, mode&fs.ModeSymlink != 0, out)
	}
	return (&Result{}).Set("stat", out)
}

func isMissing(err error) bool {
	return os.IsNotExist(err) || strings.Contains(err.Error(), "not a directory")
}

// statMap is what stat and find return of every file.
func statMap(h *Host, path string, fi fs.FileInfo) map[string]any {
	st, mode := machine.RawStat(fi), fi.Mode()
	bit := func(m uint32) bool { return st.Mode&m != 0 }
	return map[string]any{
		"exists": true, "path": path, "mode": machine.ModeString(st.Mode),
		"isdir": mode.IsDir(), "isreg": mode.IsRegular(), "islnk": mode&fs.ModeSymlink != 0,
		"ischr": mode&fs.ModeCharDevice != 0, "isblk": mode&fs.ModeDevice != 0 && mode&fs.ModeCharDevice == 0,
		"isfifo": mode&fs.ModeNamedPipe != 0, "issock": mode&fs.ModeSocket != 0,
		"uid": int64(st.Uid), "gid": int64(st.Gid), "size": st.Size, "inode": int64(st.Ino), "dev": int64(st.Dev), "nlink": int64(st.Nlink),
		"atime": float64(st.Atim.Nano()) / 1e9, "mtime": float64(st.Mtim.Nano()) / 1e9, "ctime": float64(st.Ctim.Nano()) / 1e9,
		"wusr": bit(0o200), "rusr": bit(0o400), "xusr": bit(0o100), "wgrp": bit(0o020), "rgrp": bit(0o040), "xgrp": bit(0o010),
		"woth": bit(0o002), "roth": bit(0o004), "xoth": bit(0o001), "isuid": bit(0o4000), "isgid": bit(0o2000),
		"blocks": st.Blocks, "block_size": int64(st.Blksize), "device_type": int64(st.Rdev),
		"pw_name": h.OwnerName(int(st.Uid)), "gr_name": h.GroupName(int(st.Gid)),
	}
}

// flagNames are lsattr's long names.
var flagNames = map[byte]string{
	'A': "noatime", 'a': "append", 'c': "compressed", 'C': "nocow", 'd': "nodump", 'D': "dirsync", 'e': "extents", 'E': "encrypted",
	'h': "blocksize", 'i': "immutable", 'I': "indexed", 'j': "journalled", 'N': "inline", 's': "zero", 'S': "synchronous",
	't': "notail", 'T': "blockroot", 'u': "undelete", 'X': "compressedraw", 'Z': "compresseddirty", 'P': "projinherit", 'V': "verity", 'F': "casefold",
}

func addFlags(h *Host, path string, link bool, out map[string]any) {
	out["attr_flags"], out["attributes"], out["version"] = "", []any{}, nil
	if link {
		return
	}
	real := h.Path(path)
	_, letters, err := machine.ReadFlags(real)
	if err != nil {
		return
	}
	names := []any{}
	for i := range len(letters) {
		if n := flagNames[letters[i]]; n != "" {
			names = append(names, n)
		}
	}
	out["attr_flags"], out["attributes"] = letters, names
	if fd, err := unix.Open(real, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
		defer unix.Close(fd)
		const getVersion = 0x80087601 // FS_IOC_GETVERSION
		if v, err := unix.IoctlGetInt(fd, getVersion); err == nil {
			out["version"] = param.ToText(int64(uint32(v)))
		}
	}
}

// mimeOf tells type and character set from a file's first bytes, by the names
// that the program file uses where they differ from the web's.
func mimeOf(h *Host, path string, fi fs.FileInfo) (mime, charset string) {
	switch m := fi.Mode(); {
	case m&fs.ModeSymlink != 0:
		return "inode/symlink", "binary"
	case m.IsDir():
		return "inode/directory", "binary"
	case m&fs.ModeNamedPipe != 0:
		return "inode/fifo", "binary"
	case m&fs.ModeSocket != 0:
		return "inode/socket", "binary"
	case m&fs.ModeCharDevice != 0:
		return "inode/chardevice", "binary"
	case m&fs.ModeDevice != 0:
		return "inode/blockdevice", "binary"
	case fi.Size() == 0:
		return "inode/x-empty", "binary"
	}
	f, err := h.Open(path)
	if err != nil {
		return "unknown", "unknown"
	}
	defer f.Close()
	b := make([]byte, 8192)
	n, err := io.ReadFull(f, b)
	if n == 0 && err != nil {
		return "unknown", "unknown"
	}
	b = b[:n]
	return sniff(b)
}

func sniff(b []byte) (mime, charset string) {
	charset = charsetOf(b)
	switch {
	case bytes.HasPrefix(b, []byte("\x7fELF")):
		mime = "application/x-executable"
		if len(b) > 17 {
			switch b[16] | b[17] {
			case 1:
				mime = "application/x-object"
			case 3:
				mime = "application/x-pie-executable"
			case 4:
				mime = "application/x-coredump"
			}
		}
		return mime, "binary"
	case bytes.HasPrefix(b, []byte("#!")):
		line, _, _ := bytes.Cut(b, []byte("\n"))
		switch s := string(line); {
		case strings.Contains(s, "python"):
			return "text/x-script.python", charset
		case strings.Contains(s, "perl"):
			return "text/x-perl", charset
		case strings.Contains(s, "sh"):
			return "text/x-shellscript", charset
		}
		return "text/plain", charset
	}
	if charset != "binary" {
		mime, _, _ = strings.Cut(http.DetectContentType(b), ";")
		if t := bytes.TrimSpace(b); len(t) > 1 && (t[0] == '{' && t[len(t)-1] == '}' || t[0] == '[' && t[len(t)-1] == ']') && len(b) < 8192 && validJSON(t) {
			return "application/json", charset
		}
		return mime, charset
	}
	mime, _, _ = strings.Cut(http.DetectContentType(b), ";")
	switch mime {
	case "application/x-gzip":
		mime = "application/gzip"
	case "text/plain":
		mime = "application/octet-stream"
	}
	return mime, charset
}

func charsetOf(b []byte) string {
	ascii := true
	for _, c := range b {
		if c == 0 || c == 0x7f || c < 0x20 && c != '\n' && c != '\r' && c != '\t' && c != '\f' && c != 0x1b && c != '\b' && c != 7 {
			return "binary"
		}
		if c >= 0x80 {
			ascii = false
		}
	}
	switch {
	case ascii:
		return "us-ascii"
	case utf8.Valid(b[:validEnd(b)]):
		return "utf-8"
	}
	return "iso-8859-1"
}

// validEnd leaves away a character that the end of the buffer cuts in two.
func validEnd(b []byte) int {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return i
			}
			break
		}
	}
	return len(b)
}
