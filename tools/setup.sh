#!/bin/sh
# Make or mend .venv from requirements.lock, so that `make demo` and `make test` need nothing but Python, make and a
# package registry. Does nothing when .venv already is what the lock and pyproject.toml say.
#
#   PYTHON=python3.12 sh tools/setup.sh     # PYTHON is optional: the first of 3.11, 3.12, 3.13 that is found
#
# pip rather than uv does it: pip obeys the machine's own settings for a mirror, a proxy or a certificate.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
stamp=$venv/.cxrkit-stamp
# A caller's settings for other projects must not reach into this environment.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_REQUIRE_VIRTUALENV PIP_CONSTRAINT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

version_of() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

in_range() {
    case $(version_of "$1") in 3.11 | 3.12 | 3.13) return 0 ;; *) return 1 ;; esac
}

content() {
    cksum "$@" | cksum
}

# What a finished .venv says of itself: Python, lock, project. Only when PYTHON was named does another version count.
wanted_python=$(if [ -n "${PYTHON:-}" ]; then version_of "$PYTHON"; elif [ -x $venv/bin/python ]; then version_of $venv/bin/python; fi)
wanted="$wanted_python|$(content requirements.lock tools/setup.sh)|$(content pyproject.toml)"

found=$(cat $stamp 2>/dev/null || true)
if [ -n "$found" ] && [ "$found" = "$wanted" ] && [ -x $venv/bin/python ]; then
    exit 0
fi

# One set-up at a time in one folder: the second waits, then finds the work done.
if [ -z "${CXRKIT_SETUP_LOCKED:-}" ] && command -v flock >/dev/null 2>&1; then
    export CXRKIT_SETUP_LOCKED=1
    exec flock tools/setup.sh sh tools/setup.sh
fi

if [ -n "${PYTHON:-}" ]; then
    named=$(version_of "$PYTHON")
    in_range "$PYTHON" || fail "PYTHON=$PYTHON is ${named:-not a Python}; cxrkit needs Python 3.11, 3.12 or 3.13."
elif [ -n "$found" ] && in_range $venv/bin/python; then
    PYTHON=$venv/bin/python
else
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if in_range "$candidate"; then
            PYTHON=$candidate
            break
        fi
    done
    [ -n "${PYTHON:-}" ] || fail "no Python 3.11, 3.12 or 3.13 found; install one, or name it: make demo PYTHON=/path/to/python3.11"
fi
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$PYTHON has no venv or ensurepip module; on Debian or Ubuntu install python$(version_of "$PYTHON")-venv, or name another: make demo PYTHON=/path/to/python3.11"

# The stamp goes first and comes back last: whatever stops this in between, the next call starts afresh.
case $found in
    "$(version_of "$PYTHON")|"*"|"*)
        echo "setup: bringing $venv up to date with requirements.lock" >&2
        rm -f $stamp
        ;;
    *)
        echo "setup: making $venv with $PYTHON from requirements.lock; once, a few minutes and 3 GB of disk" >&2
        rm -f $stamp
        "$PYTHON" -m venv --clear $venv
        ;;
esac
python=$venv/bin/python
# --no-deps: the lock is the whole list. imaug declares a second OpenCV, which the lock leaves out on purpose.
"$python" -m pip install --progress-bar off --quiet --no-deps --require-hashes -r requirements.lock
"$python" - <<'END'
# A package that left the lock must leave the environment: two OpenCV wheels overwrite one another's files.
import re, subprocess, sys
from importlib.metadata import distributions
name = lambda text: re.sub(r"[-_.]+", "-", text).lower()
with open("requirements.lock", encoding="utf-8") as lock:
    kept = {name(m.group(1)) for line in lock if (m := re.match(r"([A-Za-z0-9._-]+)==", line))}
extra = sorted({name(d.metadata["Name"]) for d in distributions()} - kept - {"pip", "cxrkit"})
if extra:
    subprocess.run([sys.executable, "-m", "pip", "uninstall", "--quiet", "--yes", *extra], check=True)
END
"$python" -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .
# An editable install leaves out pyproject.toml's data-files, the dashboard's template among them.
"$python" -c "from cxrkit.dashboard import _serve; _serve.link_template()"
wanted="$(version_of "$python")|$(content requirements.lock tools/setup.sh)|$(content pyproject.toml)"
printf '%s\n' "$wanted" >$stamp
echo "setup: $venv is ready" >&2
