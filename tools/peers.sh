#!/bin/sh
# Install into .peers the original libraries that tests compare with (requirements-peers.txt), torch among them. They
# stay out of .venv: nobody who uses cxrkit needs them, and tf_keras would bring a second TensorFlow.
set -eu
cd "$(dirname "$0")/.."
target=.peers
stamp=$target/.stamp
wanted=$(cat requirements-peers.txt tools/peers.sh | cksum)
[ "$(cat $stamp 2>/dev/null || true)" = "$wanted" ] && exit 0
if [ -z "${CXRKIT_PEERS_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    export CXRKIT_PEERS_LOCKED=1
    exec flock tools/peers.sh sh tools/peers.sh
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
echo "peers: installing torch, torchxrayvision and tf_keras into $target, for tests; once" >&2
rm -rf $target
.venv/bin/python -m pip install --progress-bar off --quiet --target $target torch==2.13.0
.venv/bin/python -m pip install --progress-bar off --quiet --no-deps --target $target -r requirements-peers.txt
printf '%s' "$wanted" >$stamp
