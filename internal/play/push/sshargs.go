package push

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"drover/api"
	"drover/internal/sshdial"
)

const ownArch = runtime.GOARCH

// sshArgs applies the options of an ssh command line, as inventories carry
// them in ansible_ssh_common_args, to what the dialer understands. What only
// concerns the ssh program (control sockets, verbosity) is passed over.
func sshArgs(args string, o sshdial.Options) (sshdial.Options, error) {
	words := strings.Fields(strings.NewReplacer(`"`, "", `'`, "").Replace(args))
	for i := 0; i < len(words); i++ {
		w := words[i]
		if len(w) < 2 || w[0] != '-' {
			continue
		}
		value := w[2:]
		if value == "" && strings.ContainsRune("oFJibcDEeIlmOpQRSWwL", rune(w[1])) && i+1 < len(words) {
			i++
			value = words[i]
		}
		var err error
		switch w[1] {
		case 'o':
			o, err = sshOption(value, o)
		case 'F':
			if value == "none" || value == os.DevNull {
				o.ConfigFiles = []string{}
			} else {
				o.ConfigFiles = []string{value}
			}
		case 'J':
			o, err = sshOption("ProxyJump="+value, o)
		}
		if err != nil {
			return o, err
		}
	}
	return o, nil
}

func sshOption(kv string, o sshdial.Options) (sshdial.Options, error) {
	k, v, ok := strings.Cut(kv, "=")
	if !ok {
		return o, &api.Error{Code: api.CodeInvalid, Field: "ansible_ssh_common_args", Message: "cannot read the SSH option " + strconv.Quote(kv), Remedy: "write -o Name=value"}
	}
	set := map[string]string{}
	for name, x := range o.Override {
		set[name] = x
	}
	switch strings.ToLower(k) {
	case "stricthostkeychecking":
		switch strings.ToLower(v) {
		case "no", "off":
			o.HostKeys = sshdial.Off
		case "yes":
			o.HostKeys = sshdial.Strict
		default:
			o.HostKeys = sshdial.AcceptNew
		}
	case "userknownhostsfile":
		o.KnownHosts = []string{v}
		if v == os.DevNull || strings.EqualFold(v, "none") {
			o.KnownHosts = []string{}
		}
	case "connecttimeout":
		n, err := strconv.Atoi(v)
		if err != nil {
			return o, &api.Error{Code: api.CodeInvalid, Field: "ConnectTimeout", Message: "cannot read the SSH option " + strconv.Quote(kv), Remedy: "write a number of seconds"}
		}
		o.Timeout = time.Duration(n) * time.Second
	default:
		set[k] = v
		o.Override = set
	}
	return o, nil
}
