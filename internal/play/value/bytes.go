package value

import (
	"encoding/hex"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Encode is str.encode(encoding).
func Encode(s, encoding string) ([]byte, error) {
	switch codec(encoding) {
	case "utf8":
		return []byte(s), nil
	case "ascii", "latin1":
		limit := rune(256)
		if codec(encoding) == "ascii" {
			limit = 128
		}
		out := make([]byte, 0, len(s))
		for _, r := range s {
			if r >= limit {
				return nil, &Error{Kind: "UnicodeEncodeError", Msg: "'" + encoding + "' codec can't encode character " + Repr(string(r))}
			}
			out = append(out, byte(r))
		}
		return out, nil
	case "utf16", "utf16le", "utf16be":
		c := codec(encoding)
		var out []byte
		if c == "utf16" {
			out = append(out, 0xff, 0xfe)
		}
		for _, u := range utf16.Encode([]rune(s)) {
			if c == "utf16be" {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out, nil
	}
	return nil, &Error{Kind: "LookupError", Msg: "unknown encoding: " + encoding}
}

// Decode is bytes.decode(encoding).
func Decode(b []byte, encoding string) (string, error) {
	switch codec(encoding) {
	case "utf8", "ascii":
		if !utf8.Valid(b) {
			return "", &Error{Kind: "UnicodeDecodeError", Msg: "'" + encoding + "' codec can't decode the bytes: invalid start byte"}
		}
		return string(b), nil
	case "latin1":
		r := make([]rune, len(b))
		for i, c := range b {
			r[i] = rune(c)
		}
		return string(r), nil
	case "utf16", "utf16le", "utf16be":
		big := codec(encoding) == "utf16be"
		if codec(encoding) == "utf16" && len(b) >= 2 {
			switch {
			case b[0] == 0xff && b[1] == 0xfe:
				b = b[2:]
			case b[0] == 0xfe && b[1] == 0xff:
				b, big = b[2:], true
			}
		}
		u := make([]uint16, len(b)/2)
		for i := range u {
			if big {
				u[i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
			} else {
				u[i] = uint16(b[2*i+1])<<8 | uint16(b[2*i])
			}
		}
		return string(utf16.Decode(u)), nil
	}
	return "", &Error{Kind: "LookupError", Msg: "unknown encoding: " + encoding}
}

func codec(name string) string {
	n := strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	switch n {
	case "iso88591", "l1", "cp819":
		return "latin1"
	case "usascii", "646":
		return "ascii"
	case "u8", "utf", "utf8sig":
		return "utf8"
	}
	return n
}

func bytesMethod(name string) builtin {
	switch name {
	case "decode":
		return func(r Value, a *Args) (Value, error) {
			enc, err := a.String(0, "encoding", "utf-8")
			if err != nil {
				return nil, err
			}
			return Decode(r.([]byte), enc)
		}
	case "hex":
		return func(r Value, a *Args) (Value, error) { return hex.EncodeToString(r.([]byte)), a.Check(0) }
	}
	return nil
}
