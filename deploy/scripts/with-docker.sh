#!/bin/sh
# Runs a command that needs Docker. Starts a Docker Engine for it when none answers, and takes that away again.
set -eu
cd "$(dirname "$0")/../.."
socket=/var/run/docker.sock

answers() { curl -fs --max-time 5 --unix-socket $socket http://docker/_ping > /dev/null 2>&1; }

# An engine's directory, and what is mounted in there: namespaces of its containers live on for as long as those.
clear_away() {
    cut -d ' ' -f 5 /proc/self/mountinfo | grep "^$1/" | sort -r | xargs -r umount -l || true
    rm -rf "$1"
}

# Left by a run that was killed: whoever works in such a directory holds its lock.
for left in /tmp/sampan-docker.*/lock; do
    if [ -e "$left" ] && flock --nonblock "$left" true; then clear_away "${left%/lock}"; fi
done

if ! answers; then
    work=$(mktemp -d /tmp/sampan-docker.XXXXXX)
    exec 9> "$work/lock"
    flock 9
    PATH=$PATH:/usr/sbin:/sbin
    # Without bridge and rules of its own it leaves no trace on the machine's network.
    dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" --host "unix://$socket" \
        --bridge none --iptables=false --exec-opt native.cgroupdriver=cgroupfs > "$work/log" 2>&1 &
    docker=$!
    clean_up() {
        kill "$docker" 2> /dev/null || true
        wait "$docker" 2> /dev/null || true
        clear_away "$work"
        rm -f $socket
    }
    trap clean_up EXIT
    trap 'exit 130' INT TERM
    tries=0
    until answers; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ] || ! kill -0 "$docker"; then
            echo "Docker does not start; its log ends:" >&2
            tail -n 5 "$work/log" >&2
            exit 1
        fi
        sleep 0.1
    done
fi

"$@"
