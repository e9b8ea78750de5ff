package facts

import (
	"regexp"
	"strings"
)

// families maps distributions to what Ansible calls their family.
var families = map[string]string{
	"Debian": "Debian", "Ubuntu": "Debian", "Raspbian": "Debian", "Neon": "Debian", "KDE neon": "Debian", "Linux Mint": "Debian",
	"SteamOS": "Debian", "Devuan": "Debian", "Kali": "Debian", "Cumulus Linux": "Debian", "Pop!_OS": "Debian", "Parrot": "Debian",
	"Pardus GNU/Linux": "Debian", "Uos": "Debian", "Deepin": "Debian", "OSMC": "Debian", "Linux Mint Debian Edition": "Debian",
	"RedHat": "RedHat", "Fedora": "RedHat", "CentOS": "RedHat", "Rocky": "RedHat", "AlmaLinux": "RedHat", "OracleLinux": "RedHat",
	"Amazon": "RedHat", "Scientific": "RedHat", "CloudLinux": "RedHat", "EuroLinux": "RedHat", "openEuler": "RedHat",
	"SLES": "Suse", "openSUSE": "Suse", "openSUSE Leap": "Suse", "openSUSE Tumbleweed": "Suse", "openSUSE MicroOS": "Suse", "SLES_SAP": "Suse",
	"Archlinux": "Archlinux", "Manjaro": "Archlinux", "Alpine": "Alpine", "Gentoo": "Gentoo", "Void": "Void", "NixOS": "NixOS", "Flatcar": "Flatcar",
}

// names of distributions by the ID of os-release, where Ansible's differ from
// the first word of NAME.
var idNames = map[string]string{
	"debian": "Debian", "ubuntu": "Ubuntu", "raspbian": "Raspbian", "devuan": "Devuan", "kali": "Kali", "linuxmint": "Linux Mint",
	"pop": "Pop!_OS", "parrot": "Parrot", "rhel": "RedHat", "fedora": "Fedora", "centos": "CentOS", "rocky": "Rocky", "almalinux": "AlmaLinux",
	"ol": "OracleLinux", "amzn": "Amazon", "sles": "SLES", "opensuse-leap": "openSUSE Leap", "opensuse-tumbleweed": "openSUSE Tumbleweed",
	"arch": "Archlinux", "manjaro": "Manjaro", "alpine": "Alpine", "gentoo": "Gentoo", "void": "Void", "nixos": "NixOS", "flatcar": "Flatcar",
}

var codenameInVersion = regexp.MustCompile(`\(([^)]+)\)`)

func (g *gathering) osRelease() (map[string]string, string) {
	for _, f := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if text := g.read(f); text != "" {
			return keyValues(text), f
		}
	}
	return nil, ""
}

func (g *gathering) distribution() {
	rel, file := g.osRelease()
	if rel == nil {
		g.out["distribution"], g.out["os_family"] = "Linux", "Linux"
		g.out["distribution_version"], g.out["distribution_major_version"], g.out["distribution_release"] = "NA", "NA", "NA"
		return
	}
	name := idNames[rel["ID"]]
	if name == "" {
		name, _, _ = strings.Cut(rel["NAME"], " ")
	}
	version, release := rel["VERSION_ID"], rel["VERSION_CODENAME"]
	if m := codenameInVersion.FindStringSubmatch(rel["VERSION"]); release == "" && m != nil {
		release = m[1]
	}
	family, ok := families[name]
	if !ok {
		family = name
		for like := range strings.FieldsSeq(rel["ID_LIKE"]) {
			if f, ok := families[idNames[like]]; ok {
				family = f
				break
			}
		}
	}
	variety := name
	if family == "Debian" {
		variety = "Debian"
	}
	debian := g.read("/etc/debian_version")
	if name == "Debian" {
		if version == "" { // testing and unstable have no number
			if n, _, ok := strings.Cut(debian, "/"); ok {
				version = n
			} else {
				version = orNA(debian)
			}
		}
		if _, minor, ok := strings.Cut(debian, "."); ok {
			g.out["distribution_minor_version"] = minor
		}
	}
	if release == "" {
		release = "NA"
	}
	major, _, _ := strings.Cut(version, ".")
	if name == "Ubuntu" && version == "" {
		version = rel["VERSION"]
	}
	g.out["distribution"], g.out["distribution_version"] = name, orNA(version)
	g.out["distribution_major_version"], g.out["distribution_release"] = orNA(major), release
	g.out["distribution_file_parsed"], g.out["distribution_file_path"], g.out["distribution_file_variety"] = true, file, variety
	g.out["os_family"] = family
}

func orNA(s string) string {
	if s == "" {
		return "NA"
	}
	return s
}

// lsb is what lsb_release would say, where it is installed or its file is there.
func (g *gathering) lsb() {
	out := map[string]any{}
	g.out["lsb"] = out
	set := func(id, release, codename, description string) {
		out["id"], out["release"], out["codename"], out["description"] = id, release, codename, description
		out["major_release"], _, _ = strings.Cut(release, ".")
	}
	if text := g.read("/etc/lsb-release"); text != "" {
		v := keyValues(text)
		if v["DISTRIB_ID"] != "" {
			set(v["DISTRIB_ID"], v["DISTRIB_RELEASE"], v["DISTRIB_CODENAME"], v["DISTRIB_DESCRIPTION"])
			return
		}
	}
	if !g.exists("/usr/bin/lsb_release") {
		return
	}
	rel, _ := g.osRelease()
	name := idNames[rel["ID"]]
	if name == "" {
		name = rel["NAME"]
	}
	set(name, rel["VERSION_ID"], rel["VERSION_CODENAME"], rel["PRETTY_NAME"])
}
