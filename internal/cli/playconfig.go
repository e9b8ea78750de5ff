package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"drover/api"
)

// ansibleConfig is what of ansible.cfg and ANSIBLE_* is understood.
type ansibleConfig struct {
	file   string
	values map[string]string // "section.key"
	getenv func(string) string
}

// readAnsibleConfig finds ansible.cfg where Ansible does.
func readAnsibleConfig(getenv func(string) string) (*ansibleConfig, error) {
	c := &ansibleConfig{values: map[string]string{}, getenv: getenv}
	candidates := []string{getenv("ANSIBLE_CONFIG"), "ansible.cfg", filepath.Join(getenv("HOME"), ".ansible.cfg"), "/etc/ansible/ansible.cfg"}
	for i, name := range candidates {
		if name == "" {
			continue
		}
		if st, err := os.Stat(name); err == nil && st.IsDir() {
			name = filepath.Join(name, "ansible.cfg")
		}
		if i == 1 {
			// A folder that everyone may write is not trusted, as in Ansible.
			if st, err := os.Stat("."); err == nil && st.Mode().Perm()&0o002 != 0 {
				continue
			}
		}
		src, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		c.file = abs
		return c, c.parse(src)
	}
	return c, nil
}

func (c *ansibleConfig) parse(src []byte) error {
	section, last := "", ""
	sc := bufio.NewScanner(bytes.NewReader(src))
	line := 0
	for sc.Scan() {
		line++
		raw := sc.Text()
		text := strings.TrimSpace(raw)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
			continue
		case text[0] == '[':
			end := strings.IndexByte(text, ']')
			if end < 0 {
				return &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: c.file, Line: line, Column: 1}, Message: "a section's name is not closed", Remedy: "write [name]"}
			}
			section, last = text[1:end], ""
			continue
		case (raw[0] == ' ' || raw[0] == '\t') && last != "":
			c.values[last] += "\n" + text
			continue
		}
		i := strings.IndexAny(text, "=:")
		if i < 0 {
			return &api.Error{Code: api.CodeInvalid, Place: &api.Place{File: c.file, Line: line, Column: 1}, Message: fmt.Sprintf("%q is not key = value", text)}
		}
		v := strings.TrimSpace(text[i+1:])
		if j := strings.Index(v, " ;"); j >= 0 {
			v = strings.TrimSpace(v[:j])
		}
		last = section + "." + strings.TrimSpace(text[:i])
		c.values[last] = v
	}
	return sc.Err()
}

func (c *ansibleConfig) str(section, key, env string) string {
	if v := c.getenv(env); v != "" {
		return v
	}
	return c.values[section+"."+key]
}

func (c *ansibleConfig) bool(section, key, env string, def bool) bool {
	switch strings.ToLower(c.str(section, key, env)) {
	case "true", "yes", "on", "1", "t", "y":
		return true
	case "false", "no", "off", "0", "f", "n":
		return false
	}
	return def
}

func (c *ansibleConfig) int(section, key, env string, def int) int {
	if n, err := strconv.Atoi(c.str(section, key, env)); err == nil && n > 0 {
		return n
	}
	return def
}

// resolve makes a path of the file absolute: it counts from the file's folder.
func (c *ansibleConfig) resolve(p string) string {
	p = expandHome(strings.TrimSpace(p), c.getenv("HOME"))
	p = strings.ReplaceAll(p, "{{CWD}}", ".")
	if p == "" || filepath.IsAbs(p) || c.file == "" {
		return p
	}
	return filepath.Join(filepath.Dir(c.file), p)
}

// paths is the inventory: a comma list of paths.
func (c *ansibleConfig) paths(key string) []string {
	env := c.getenv("ANSIBLE_INVENTORY")
	v := env
	if v == "" {
		v = c.values["defaults."+key]
	}
	if v == "" {
		return nil
	}
	var out []string
	for _, p := range strings.Split(v, ",") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		if env == "" {
			p = c.resolve(p)
		}
		out = append(out, p)
	}
	if strings.HasSuffix(v, ",") || len(out) > 1 {
		if _, err := os.Stat(out[0]); err != nil {
			return []string{v}
		}
	}
	return out
}

func (c *ansibleConfig) rolesPath(home string) []string {
	v := c.getenv("ANSIBLE_ROLES_PATH")
	fromFile := v == ""
	if fromFile {
		v = c.values["defaults.roles_path"]
	}
	if v == "" {
		return []string{filepath.Join(home, ".ansible/roles"), "/usr/share/ansible/roles", "/etc/ansible/roles"}
	}
	var out []string
	for _, p := range strings.Split(v, ":") {
		if p == "" {
			continue
		}
		if fromFile {
			p = c.resolve(p)
		} else if abs, err := filepath.Abs(expandHome(p, home)); err == nil {
			p = abs
		}
		out = append(out, p)
	}
	return out
}

func expandHome(p, home string) string {
	if p == "~" {
		return home
	}
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		return filepath.Join(home, rest)
	}
	return p
}

// readPasswordFile reads a password, or runs the file when it is a program.
func readPasswordFile(name string) (string, error) {
	st, err := os.Stat(name)
	if err != nil {
		return "", fmt.Errorf("cannot read the password file: %w", err)
	}
	var src []byte
	if st.Mode()&0o111 != 0 {
		abs, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		if src, err = exec.Command(abs).Output(); err != nil {
			return "", fmt.Errorf("cannot run the password program %s: %w", name, err)
		}
	} else if src, err = os.ReadFile(name); err != nil {
		return "", fmt.Errorf("cannot read the password file: %w", err)
	}
	pass := strings.Trim(string(src), " \t\r\n")
	if pass == "" {
		return "", fmt.Errorf("the password file %s is empty", name)
	}
	return pass, nil
}

func sorted(list []string) []string {
	out := append([]string(nil), list...)
	sort.Strings(out)
	return out
}
