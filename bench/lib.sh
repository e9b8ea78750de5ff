# What the benchmarks share: a lab and a server of their own, and medians.
# Sourced from bench/NAME/run, which sets NAME.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
drover=$root/bin/drover
work=$(mktemp -d "/tmp/drover-bench-XXXXXX")
server_pid=

say() { echo "==> $*" >&2; }

finish() {
	[ -z "$server_pid" ] || { kill "$server_pid" 2>/dev/null || true; wait "$server_pid" 2>/dev/null || true; }
	"$drover" lab down --name "bench-$NAME" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap finish EXIT

need() { # need PROGRAM PACKAGE: installs Debian's package where the program is missing
	command -v "$1" >/dev/null && return
	say "installing $2"
	apt-get -qq update >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >&2
}

build() { need python3 python3; make -s -C "$root" build >&2; }

lab_up() { # lab_up N [PREFIX]: hosts PREFIX-1 … in $work/hosts (name address a line)
	"$drover" lab up "$1" --name "bench-$NAME" --prefix "${2:-bench}" >&2
	"$drover" lab list --name "bench-$NAME" | awk 'NR > 1 { print $1, $2 }' >"$work/hosts"
}

serve() { # a server on free ports, with its credential in $work/data
	api=$(free_port); link=$(free_port)
	"$drover" server --data "$work/data" --listen ":$api" --link ":$link" >"$work/server.log" 2>&1 &
	server_pid=$!
	export DROVER_CONFIG=$work/data/admin.yml
	"$drover" wait server --timeout 60s >&2
}

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("",0)); print(s.getsockname()[1])'; }

seconds() { # seconds CMD…: how long it took; its output goes to $work/last.log
	local t0=$EPOCHREALTIME
	"$@" >"$work/last.log" 2>&1 </dev/null || { echo "failed: $*" >&2; tail -30 "$work/last.log" >&2; return 1; }
	python3 -c "print(f'{$EPOCHREALTIME - $t0:.3f}')"
}

median() { tr ' ' '\n' | sort -n | awk 'NF{a[++n]=$1} END{print n%2 ? a[(n+1)/2] : (a[n/2]+a[n/2+1])/2}'; }

machine() { echo "$(nproc) cores, $(awk '/MemTotal/{printf "%.0f", $2/1048576}' /proc/meminfo) GiB"; }
