"""Memory that was freed goes back to the system."""

import subprocess
import sys

import pytest

# 128 MB in pieces that glibc takes from its heap; the last lives on, and the heap cannot shrink from its end.
CODE = """
import re, numpy as np
from cxrkit import _memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024

pieces = [np.ones(64_000, np.uint8) for _ in range(2_000)]
full = resident()
del pieces[:-1]
kept = resident()
_memory.give_back()
print(full - kept, kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and trims glibc's heap")
def test_freed_memory_behind_which_something_lives_on_is_given_back():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    by_itself, given_back = map(int, done.stdout.split())
    assert by_itself < 20e6
    assert given_back > 100e6
