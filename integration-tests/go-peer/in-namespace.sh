#!/bin/sh
# Runs a command in a network namespace that has only the loopback interface,
# with multicast on it. Go Micro's mdns joins every interface and cannot be told
# otherwise, so this is what keeps its packets on this machine. The route names
# a source address, or multicast packets would come from 0.0.0.0.
#
# Everything that shall find each other must be started inside one namespace:
#
#     ./in-namespace.sh cargo test -p integration-tests
set -eu
if [ "$#" -eq 0 ]; then
    echo "usage: $0 COMMAND [ARGUMENT…]" >&2
    exit 2
fi
map_root=
[ "$(id -u)" -eq 0 ] || map_root=--map-root-user
# shellcheck disable=SC2016 # the inner shell expands "$@"
exec unshare --net $map_root sh -euc '
    ip link set lo up multicast on
    ip route add 224.0.0.0/4 dev lo src 127.0.0.1
    exec "$@"
' in-namespace "$@"
