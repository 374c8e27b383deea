#!/bin/sh
# Becomes dockerd, after what one that was killed left behind is out of its way.
#
#   run-dockerd.sh RUNTIME-DIRECTORY COMMAND…    with RUNTIME-DIRECTORY/docker.pid and /exec as dockerd was told
#
# A stale pid file stops dockerd when that pid is somebody else's by now, or a zombie which nobody has reaped. A
# containerd that lost its dockerd, or that dockerd takes to be alive, costs a quarter of a minute of waiting; ended
# and forgotten, it is started anew at once. Containers do not notice: each hangs on its own shim.
#
# dockerd starts a containerd of its own, unless the machine's runs already: that it would share, with the machine's
# Docker and every other dockerd of ours, in one namespace, and leave containers there. So here it gets its own.
runtime=$1
shift
state=$runtime/exec/containerd
mkdir -p "$state"
rm -f "$runtime/docker.pid"
pid_file=$state/containerd.pid
old=$(cat "$pid_file" 2> /dev/null)
if [ -n "$old" ] && grep -q "$runtime/exec" "/proc/$old/cmdline" 2> /dev/null; then
    kill "$old"
    tries=0
    while [ -e "/proc/$old/exe" ] && [ $tries -lt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -9 "$old" 2> /dev/null
fi
rm -f "$pid_file" "$state/containerd.sock"
[ -e /run/containerd/containerd.sock ] || exec "$@"

# Laid out as dockerd lays out its own, so that either finds the containers of the other.
enter=
root=
before=
for word in "$@"; do
    [ "$before" = nsenter ] && enter="nsenter $word" # into the namespace where dockerd runs
    [ "$before" = --data-root ] && root=$word/containerd/daemon
    before=$word
done
printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > "$state/sampan.toml"
(
    # shellcheck disable=SC2086 # no word or two
    $enter containerd --config "$state/sampan.toml" --address "$state/containerd.sock" --root "$root" \
        --state "$state/daemon" --log-level warn &
    echo $! > "$pid_file"
    wait $!
    # Without it dockerd is of no use: whoever keeps dockerd running starts both anew. $$ is dockerd by now.
    if grep -q "$runtime" "/proc/$$/cmdline" 2> /dev/null; then kill -9 $$; fi
) &
tries=0
until [ -S "$state/containerd.sock" ] || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
exec "$@" --containerd "$state/containerd.sock"
