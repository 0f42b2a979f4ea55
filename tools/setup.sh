#!/bin/sh
# Create or update .venv from requirements.lock, so that `make demo` and `make test` need only Python, make and access
# to a package registry. Does nothing when .venv already matches the lock and pyproject.toml.
#
#   PYTHON=python3.12 sh tools/setup.sh     # PYTHON is optional; the default is the first of 3.11, 3.12, 3.13 found
set -eu
cd "$(dirname "$0")/.."
venv=.venv
python=$venv/bin/python
stamp=$venv/.cxrkit-stamp
# Settings of the caller's other projects must not reach into this environment.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

fits() {
    case $(version_of "$1") in 3.11 | 3.12 | 3.13) ;; *) return 1 ;; esac
}

content() {
    printf '%s|%s' "$(version_of "$1")" "$(cat requirements.lock pyproject.toml tools/setup.sh | cksum)"
}

# Another Python replaces .venv only if it was named.
current=${PYTHON:-$python}
[ ! -f $stamp ] || [ "$(cat $stamp)" != "$(content "$current")" ] || exit 0

# One set-up at a time in one folder: a second one waits, then finds the work done.
if [ -z "${CXRKIT_SETUP_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    export CXRKIT_SETUP_LOCKED=1
    exec flock tools/setup.sh sh tools/setup.sh
fi

if [ -n "${PYTHON:-}" ]; then
    version=$(version_of "$PYTHON")
    fits "$PYTHON" || fail "PYTHON=$PYTHON is ${version:-not a Python}; cxrkit needs Python 3.11, 3.12 or 3.13."
elif [ -f $stamp ] && fits $python; then
    PYTHON=$python
else
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if fits "$candidate"; then PYTHON=$candidate && break; fi
    done
    [ -n "${PYTHON:-}" ] ||
        fail "no Python 3.11, 3.12 or 3.13 found; install one, or name it: make demo PYTHON=/path/to/python3.11"
fi
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$PYTHON has no venv or ensurepip module; on Debian or Ubuntu install python$(version_of "$PYTHON")-venv, or name another: make demo PYTHON=/path/to/python3.11"

# The stamp is removed first and written last, so that an interrupted set-up starts afresh.
if [ -f $stamp ] && [ "$(version_of "$PYTHON")" = "$(version_of $python)" ]; then
    echo "setup: updating $venv from requirements.lock" >&2
    rm -f $stamp
else
    echo "setup: creating $venv with $PYTHON from requirements.lock; once, 3 GB of disk" >&2
    rm -f $stamp
    "$PYTHON" -m venv --clear $venv
fi

# uv is much faster than pip. It does not read pip's settings, so the machine's mirrors are passed on to it. Several
# indexes are safe here: every file must have the hash that the lock states.
setting() {
    "$python" -m pip config get "global.$1" 2>/dev/null | tr '\n' ' ' || true
}
default_index=${PIP_INDEX_URL:-$(setting index-url)}
extra_indexes=${PIP_EXTRA_INDEX_URL:-$(setting extra-index-url)}
links=${PIP_FIND_LINKS:-$(setting find-links)}
certificates=${PIP_CERT:-$(setting cert)}
[ -z "${default_index% }" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-${default_index% }}"
[ -z "${extra_indexes% }" ] || export UV_INDEX="${UV_INDEX:-${extra_indexes% }}"
[ -z "${links% }" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-$(printf %s "${links% }" | tr ' ' ,)}"
[ -z "${certificates% }" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-${certificates% }}"
export UV_INDEX_STRATEGY=unsafe-best-match UV_PYTHON_DOWNLOADS=never UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"

sed -n '/^uv==/,/[^\\]$/p' requirements.lock >$venv/uv.lock
"$python" -m pip install --quiet --no-deps --require-hashes -r $venv/uv.lock
# sync also removes what is no longer in the lock: two OpenCV wheels would overwrite each other's files.
$venv/bin/uv pip sync --quiet --python $python --require-hashes requirements.lock
$venv/bin/uv pip install --quiet --python $python --no-deps --no-build-isolation --offline --editable .
# An editable install leaves out pyproject.toml's data-files, the dashboard's template among them.
"$python" -c "from cxrkit.dashboard import link_template; link_template()"
content $python >$stamp
echo "setup: $venv is ready" >&2
