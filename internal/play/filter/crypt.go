package filter

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/blake2s"
	//lint:ignore SA1019 the format of bcrypt is made with this cipher
	"golang.org/x/crypto/blowfish"

	"drover/internal/play/jinja"
	"drover/internal/play/value"
)

func (s *set) cryptFilters() map[string]jinja.Filter {
	fixed := func(kind string) jinja.Filter {
		return func(c *jinja.Call) (value.Value, error) {
			in, err := input(c)
			if err != nil {
				return nil, err
			}
			return digest(kind, in)
		}
	}
	return map[string]jinja.Filter{
		"hash": func(c *jinja.Call) (value.Value, error) {
			a := c.Rest()
			if err := a.Check(0, "hashtype"); err != nil {
				return nil, err
			}
			kind, err := a.String(0, "hashtype", "sha1")
			if err != nil {
				return nil, err
			}
			in, err := input(c)
			if err != nil {
				return nil, err
			}
			return digest(kind, in)
		},
		"checksum": fixed("sha1"), "sha1": fixed("sha1"), "md5": fixed("md5"), "password_hash": passwordHash, "to_uuid": toUUID,
		"vault": s.vault, "unvault": s.unvault,
	}
}

func digest(kind, in string) (value.Value, error) {
	var h hash.Hash
	switch strings.ReplaceAll(kind, "-", "_") {
	case "md5":
		h = md5.New()
	case "sha1":
		h = sha1.New()
	case "sha224":
		h = sha256.New224()
	case "sha256":
		h = sha256.New()
	case "sha384":
		h = sha512.New384()
	case "sha512":
		h = sha512.New()
	case "sha512_224":
		h = sha512.New512_224()
	case "sha512_256":
		h = sha512.New512_256()
	case "sha3_224":
		h = sha3.New224()
	case "sha3_256":
		h = sha3.New256()
	case "sha3_384":
		h = sha3.New384()
	case "sha3_512":
		h = sha3.New512()
	case "blake2b":
		h, _ = blake2b.New512(nil)
	case "blake2s":
		h, _ = blake2s.New256(nil)
	default:
		return nil, filterError("unsupported hash type " + kind)
	}
	h.Write([]byte(in))
	return hex.EncodeToString(h.Sum(nil)), nil
}

// ansibleNamespace is the name space that to_uuid uses by default.
const ansibleNamespace = "361E6D51-FAEC-444A-9079-341386DA8E2E"

func toUUID(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "namespace"); err != nil {
		return nil, err
	}
	ns, err := a.String(0, "namespace", ansibleNamespace)
	if err != nil {
		return nil, err
	}
	raw, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(ns, "{}"), "-", ""))
	if err != nil || len(raw) != 16 {
		return nil, filterError("Invalid value '" + ns + "' for 'namespace': badly formed hexadecimal UUID string")
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum(append(raw, in...))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16]), nil
}

func passwordHash(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(0, "hashtype", "salt", "salt_size", "rounds", "ident"); err != nil {
		return nil, err
	}
	kind, err := a.String(0, "hashtype", "sha512")
	if err != nil {
		return nil, err
	}
	salt := ""
	if v := a.Or(1, "salt", nil); v != nil {
		salt = value.Str(v)
	}
	size, err := a.Int(2, "salt_size", 16)
	if err != nil {
		return nil, err
	}
	rounds, err := a.Int(3, "rounds", 0)
	if err != nil {
		return nil, err
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	ident := "2b"
	if v := a.Or(4, "ident", nil); v != nil {
		ident = strings.Trim(value.Str(v), "$")
	}
	switch kind {
	case "blowfish", "bcrypt":
		if salt == "" {
			salt = randomSalt(22)
		}
		if rounds == 0 {
			rounds = 12
		}
		return bcrypt(in, salt, ident, int(rounds))
	case "md5":
		if salt == "" {
			salt = randomSalt(8)
		}
		return md5Crypt(in, salt), nil
	case "sha256", "sha512":
		if salt == "" {
			salt = randomSalt(int(min(max(size, 1), 16)))
		}
		if strings.Trim(salt, saltChars) != "" {
			return nil, filterError("invalid characters in " + kind + "_crypt salt")
		}
		if len(salt) > 16 {
			return nil, filterError("salt too large (" + kind + "_crypt requires <= 16 chars)")
		}
		if rounds == 0 {
			rounds = map[string]int64{"sha256": 535_000, "sha512": 656_000}[kind]
		}
		if rounds < 1000 || rounds > 10_000_000 {
			return nil, filterError("rounds must be between 1000 and 10000000")
		}
		return SHACrypt(kind, in, salt, int(rounds)), nil
	}
	return nil, filterError(kind + " is not in the list of supported passlib algorithms: md5, blowfish, sha256, sha512")
}

const saltChars = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func randomSalt(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = saltChars[b[i]&63]
	}
	return string(b)
}

func encode24(out []byte, b2, b1, b0 byte, n int) []byte {
	w := uint(b2)<<16 | uint(b1)<<8 | uint(b0)
	for range n {
		out = append(out, saltChars[w&63])
		w >>= 6
	}
	return out
}

// SHACrypt is sha256_crypt and sha512_crypt, the $5$ and $6$ of crypt(3).
func SHACrypt(kind, password, salt string, rounds int) string {
	fresh, prefix := sha512.New, "$6$"
	if kind == "sha256" {
		fresh, prefix = sha256.New, "$5$"
	}
	p, s := []byte(password), []byte(salt)
	size := fresh().Size()
	repeat := func(sum []byte, n int) []byte {
		out := make([]byte, 0, n+size)
		for len(out) < n {
			out = append(out, sum...)
		}
		return out[:n]
	}
	sum := func(parts ...[]byte) []byte {
		h := fresh()
		for _, x := range parts {
			h.Write(x)
		}
		return h.Sum(nil)
	}
	b := sum(p, s, p)
	h := fresh()
	h.Write(p)
	h.Write(s)
	h.Write(repeat(b, len(p)))
	for n := len(p); n > 0; n >>= 1 {
		if n&1 == 1 {
			h.Write(b)
		} else {
			h.Write(p)
		}
	}
	a := h.Sum(nil)
	h = fresh()
	for range len(p) {
		h.Write(p)
	}
	dp := repeat(h.Sum(nil), len(p))
	h = fresh()
	for range 16 + int(a[0]) {
		h.Write(s)
	}
	ds := repeat(h.Sum(nil), len(s))
	for i := range rounds {
		h.Reset()
		if i&1 == 1 {
			h.Write(dp)
		} else {
			h.Write(a)
		}
		if i%3 != 0 {
			h.Write(ds)
		}
		if i%7 != 0 {
			h.Write(dp)
		}
		if i&1 == 1 {
			h.Write(a)
		} else {
			h.Write(dp)
		}
		a = h.Sum(a[:0])
	}
	out := []byte(prefix)
	if rounds != 5000 {
		out = fmt.Appendf(out, "rounds=%d$", rounds)
	}
	out = append(append(out, s...), '$')
	if kind == "sha256" {
		for i, x, y, z := 0, 0, 10, 20; i < 10; i++ {
			out = encode24(out, a[x], a[y], a[z], 4)
			x, y, z = z+1, x+1, y+1
		}
		return string(encode24(out, 0, a[31], a[30], 3))
	}
	for i, x, y, z := 0, 0, 21, 42; i < 21; i++ {
		out = encode24(out, a[x], a[y], a[z], 4)
		x, y, z = y+1, z+1, x+1
	}
	return string(encode24(out, 0, 0, a[63], 2))
}

// md5Crypt is the $1$ of crypt(3).
func md5Crypt(password, salt string) string {
	if len(salt) > 8 {
		salt = salt[:8]
	}
	p, s := []byte(password), []byte(salt)
	b := md5.Sum(slices.Concat(p, s, p))
	h := md5.New()
	h.Write(p)
	h.Write([]byte("$1$"))
	h.Write(s)
	for n := len(p); n > 0; n -= 16 {
		h.Write(b[:min(n, 16)])
	}
	for n := len(p); n > 0; n >>= 1 {
		if n&1 == 1 {
			h.Write([]byte{0})
		} else {
			h.Write(p[:1])
		}
	}
	a := h.Sum(nil)
	for i := range 1000 {
		h.Reset()
		if i&1 == 1 {
			h.Write(p)
		} else {
			h.Write(a)
		}
		if i%3 != 0 {
			h.Write(s)
		}
		if i%7 != 0 {
			h.Write(p)
		}
		if i&1 == 1 {
			h.Write(a)
		} else {
			h.Write(p)
		}
		a = h.Sum(a[:0])
	}
	out := append([]byte("$1$"), s...)
	out = append(out, '$')
	for _, t := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		out = encode24(out, a[t[0]], a[t[1]], a[t[2]], 4)
	}
	return string(encode24(out, 0, 0, a[11], 2))
}

var bcryptAlphabet = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// bcrypt hashes with a given salt, which the standard library's helper cannot.
func bcrypt(password, salt, ident string, cost int) (value.Value, error) {
	if cost < 4 || cost > 20 {
		return nil, filterError("rounds of bcrypt must be between 4 and 20")
	}
	if len(salt) < 22 {
		return nil, filterError("salt too small (bcrypt requires exactly 22 chars)")
	}
	raw, err := bcryptAlphabet.DecodeString(salt[:22])
	if err != nil {
		return nil, filterError("invalid characters in bcrypt salt")
	}
	key := append([]byte(password), 0)
	if len(key) > 72 {
		key = key[:72]
	}
	c, err := blowfish.NewSaltedCipher(key, raw)
	if err != nil {
		return nil, err
	}
	for range 1 << cost {
		blowfish.ExpandKey(key, c)
		blowfish.ExpandKey(raw, c)
	}
	text := []byte("OrpheanBeholderScryDoubt")
	for i := 0; i < 24; i += 8 {
		for range 64 {
			c.Encrypt(text[i:i+8], text[i:i+8])
		}
	}
	return fmt.Sprintf("$%s$%02d$%s%s", ident, cost, bcryptAlphabet.EncodeToString(raw), bcryptAlphabet.EncodeToString(text[:23])), nil
}

func (s *set) vault(c *jinja.Call) (value.Value, error) {
	a := c.Rest()
	if err := a.Check(1, "secret", "salt", "vault_id", "wrap_object", "vaultid"); err != nil {
		return nil, err
	}
	if s.o.Encrypt == nil {
		return nil, filterError("vault is not available here")
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	secret, err := a.String(0, "secret", "")
	if err != nil {
		return nil, err
	}
	id := value.Str(a.Or(2, "vault_id", a.Or(4, "vaultid", "")))
	b, err := s.o.Encrypt([]byte(in), secret, id)
	return string(b), err
}

func (s *set) unvault(c *jinja.Call) (value.Value, error) {
	if s.o.Decrypt == nil {
		return nil, filterError("unvault is not available here")
	}
	in, err := input(c)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix([]byte(in), []byte("$ANSIBLE_VAULT")) {
		return in, nil
	}
	b, err := s.o.Decrypt([]byte(in))
	return string(b), err
}
