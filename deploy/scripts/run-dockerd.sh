#!/bin/sh
# Becomes dockerd, after what one that was killed left behind is out of its way.
#
#   run-dockerd.sh RUNTIME-DIRECTORY COMMAND…    with RUNTIME-DIRECTORY/docker.pid and /exec as dockerd was told
#
# A stale pid file stops dockerd when that pid is somebody else's by now, or a zombie which nobody has reaped. A
# containerd that lost its dockerd, or that dockerd takes to be alive, costs a quarter of a minute of waiting; ended
# and forgotten, it is started anew at once. Containers do not notice: each hangs on its own shim.
runtime=$1
shift
mkdir -p "$runtime"
rm -f "$runtime/docker.pid"
pid_file=$runtime/exec/containerd/containerd.pid
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
rm -f "$pid_file"
exec "$@"
