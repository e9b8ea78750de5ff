package source

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"drover/api"
)

// Vault opens vaulted files and values with the passwords it has. A nil
// *Vault has none.
type Vault struct {
	Secrets []VaultSecret
	// Refuse makes vaulted text that cannot be opened an error where it stands.
	// Without it, it is an error where it is used.
	Refuse bool
}

// NoPasswords is the vault of what the server compiles: it will never have a
// password, so whatever is vaulted is refused.
func NoPasswords() *Vault { return &Vault{Refuse: true} }

// Refuses reports whether vaulted text is an error where it stands.
func (v *Vault) Refuses() bool { return v != nil && v.Refuse }

// Closed is the error for a vaulted file or value at a place.
func (v *Vault) Closed(what string, at api.Place, err error) *api.Error {
	if v.Refuses() {
		return &api.Error{Code: api.CodeInvalid, Message: what + " is vaulted, and the server cannot open vaults", Place: &at,
			Remedy: "keep it out of what the fleet repository applies; a playbook that needs it runs with drover play --vault-password-file"}
	}
	return &api.Error{Code: api.CodeInvalid, Message: "cannot open " + what + ": " + err.Error(), Place: &at,
		Remedy: "give the password with --vault-password-file or --ask-vault-pass"}
}

// VaultSecret is a password and the id it is for, "default" if none was named.
type VaultSecret struct {
	ID       string
	Password []byte
}

const vaultHeader = "$ANSIBLE_VAULT;"

// IsVault reports whether src is a vaulted text.
func IsVault(src []byte) bool { return bytes.HasPrefix(src, []byte(vaultHeader)) }

// Decrypt opens vaulted text. Each secret is tried, those of the text's own id first.
func (v *Vault) Decrypt(src []byte) ([]byte, error) {
	lines := strings.Split(strings.TrimSpace(string(src)), "\n")
	head := strings.Split(strings.TrimSpace(lines[0]), ";")
	if len(head) < 3 || head[0]+";" != vaultHeader {
		return nil, errors.New("the text is not vaulted: it does not begin with $ANSIBLE_VAULT")
	}
	if head[2] != "AES256" {
		return nil, fmt.Errorf("unknown cipher %s", head[2])
	}
	if v == nil || len(v.Secrets) == 0 {
		return nil, errors.New("Attempting to decrypt but no vault secrets found")
	}
	var body strings.Builder
	for _, l := range lines[1:] {
		body.WriteString(strings.TrimSpace(l))
	}
	outer, err := hex.DecodeString(body.String())
	if err != nil {
		return nil, errors.New("the vaulted text is damaged: it is not hexadecimal")
	}
	parts := strings.Split(string(outer), "\n")
	if len(parts) != 3 {
		return nil, errors.New("the vaulted text is damaged")
	}
	salt, e1 := hex.DecodeString(parts[0])
	mac, e2 := hex.DecodeString(parts[1])
	text, e3 := hex.DecodeString(parts[2])
	if err := errors.Join(e1, e2, e3); err != nil {
		return nil, errors.New("the vaulted text is damaged")
	}
	id := "default"
	if len(head) > 3 {
		id = head[3]
	}
	for _, own := range []bool{true, false} {
		for _, s := range v.Secrets {
			if (s.ID == id) != own {
				continue
			}
			if plain, ok := openVault(s.Password, salt, mac, text); ok {
				return plain, nil
			}
		}
	}
	return nil, errors.New("Decryption failed (no vault secrets were found that could decrypt)")
}

func vaultKeys(password, salt []byte) (key, macKey, iv []byte, err error) {
	k, err := pbkdf2.Key(sha256.New, string(password), salt, 10000, 80)
	if err != nil {
		return nil, nil, nil, err
	}
	return k[:32], k[32:64], k[64:80], nil
}

func openVault(password, salt, mac, text []byte) ([]byte, bool) {
	key, macKey, iv, err := vaultKeys(password, salt)
	if err != nil {
		return nil, false
	}
	h := hmac.New(sha256.New, macKey)
	h.Write(text)
	if subtle.ConstantTimeCompare(h.Sum(nil), mac) != 1 {
		return nil, false
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, false
	}
	plain := make([]byte, len(text))
	cipher.NewCTR(b, iv).XORKeyStream(plain, text)
	if n := len(plain); n > 0 {
		if pad := int(plain[n-1]); pad > 0 && pad <= aes.BlockSize && pad <= n {
			plain = plain[:n-pad]
		}
	}
	return plain, true
}

// EncryptVault makes vaulted text that Ansible opens too.
func EncryptVault(plain, password []byte, id string) ([]byte, error) {
	salt := make([]byte, 32)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	key, macKey, iv, err := vaultKeys(password, salt)
	if err != nil {
		return nil, err
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	text := append(bytes.Clone(plain), bytes.Repeat([]byte{byte(pad)}, pad)...)
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	cipher.NewCTR(b, iv).XORKeyStream(text, text)
	h := hmac.New(sha256.New, macKey)
	h.Write(text)
	body := hex.EncodeToString([]byte(hex.EncodeToString(salt) + "\n" + hex.EncodeToString(h.Sum(nil)) + "\n" + hex.EncodeToString(text)))
	var out bytes.Buffer
	if id == "" || id == "default" {
		out.WriteString(vaultHeader + "1.1;AES256\n")
	} else {
		out.WriteString(vaultHeader + "1.2;AES256;" + id + "\n")
	}
	for len(body) > 0 {
		n := min(80, len(body))
		out.WriteString(body[:n] + "\n")
		body = body[n:]
	}
	return out.Bytes(), nil
}
