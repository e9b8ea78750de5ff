package source_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"drover/internal/play/source"
)

// What ansible-vault made of "secret: value\n" with the password "swordfish".
const vaulted = `$ANSIBLE_VAULT;1.1;AES256
31353864396463363435626363383639323562343233373235303065616230623662313932383337
3333323162663864343138643333656461636630336561630a366432353061653063643461663830
65666264616365653634646235333538616637633361383239356636323539366561623639666635
3239323538653233300a343134303832663437343262373337663639323561343262306363396130
3030`

func TestVaultOfAnsible(t *testing.T) {
	v := &source.Vault{Secrets: []source.VaultSecret{{ID: "other", Password: []byte("wrong")}, {ID: "default", Password: []byte("swordfish")}}}
	got, err := v.Decrypt([]byte(vaulted))
	if err != nil || string(got) != "secret: value\n" {
		t.Fatalf("%q, %v", got, err)
	}
	wrong := &source.Vault{Secrets: v.Secrets[:1]}
	if _, err := wrong.Decrypt([]byte(vaulted)); err == nil || !strings.Contains(err.Error(), "Decryption failed") {
		t.Errorf("a wrong password: %v", err)
	}
	if _, err := (*source.Vault)(nil).Decrypt([]byte(vaulted)); err == nil {
		t.Error("no password must be an error")
	}
}

func TestVaultRoundTrip(t *testing.T) {
	for _, text := range []string{"", "x", strings.Repeat("16 bytes exactly", 100)} {
		enc, err := source.EncryptVault([]byte(text), []byte("pw"), "prod")
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&source.Vault{Secrets: []source.VaultSecret{{ID: "prod", Password: []byte("pw")}}}).Decrypt(enc)
		if err != nil || string(got) != text {
			t.Errorf("%q came back as %q: %v", text, got, err)
		}
	}
}

func FuzzVault(f *testing.F) {
	f.Add([]byte(vaulted))
	f.Add([]byte("$ANSIBLE_VAULT;1.1;AES256\n3132"))
	v := &source.Vault{Secrets: []source.VaultSecret{{ID: "default", Password: []byte("swordfish")}}}
	f.Fuzz(func(t *testing.T, text []byte) {
		plain, err := v.Decrypt(text)
		if err == nil && !bytes.HasPrefix(bytes.TrimSpace(text), []byte("$ANSIBLE_VAULT;")) {
			t.Fatalf("opened what is no vault: %q", plain)
		}
	})
}

func TestBundleHoldsNothingElse(t *testing.T) {
	b := source.Bundle(fstest.MapFS{"a/b": {Data: []byte("x")}})
	for _, name := range []string{"a/b", "/a/b", "/../a/b", "./a/../a/b"} {
		if got, err := b.ReadFile(name); err != nil || string(got) != "x" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := b.ReadFile("/etc/passwd"); err == nil {
		t.Error("a bundle reads this machine's files")
	}
	if list, err := b.ReadDir("/"); err != nil || len(list) != 1 || !list[0].IsDir() {
		t.Errorf("root: %v, %v", list, err)
	}
}

func TestDidYouMean(t *testing.T) {
	for name, want := range map[string]string{"gather_fact": "gather_facts", "wehn": "when", "completely_else": "", "nmae": "name"} {
		if got := source.Nearest(name, []string{"gather_facts", "when", "name", "hosts"}); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestVarsFilesSayWhere(t *testing.T) {
	b := source.Bundle(fstest.MapFS{"v.yml": {Data: []byte("- a\n")}, "bad.yml": {Data: []byte("a: [1\nb: 2\n")}})
	docs, err := source.ReadYAML(b, "v.yml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := source.Vars("v.yml", docs, nil); err == nil || !strings.HasPrefix(err.Error(), "v.yml:1:1: ") {
		t.Errorf("a list for a dictionary: %v", err)
	}
	if _, err := source.ReadYAML(b, "bad.yml", nil); err == nil || !strings.HasPrefix(err.Error(), "bad.yml:") {
		t.Errorf("broken YAML: %v", err)
	}
}
