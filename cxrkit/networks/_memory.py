"""Memory that was freed, given back to the system."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Free what is no longer referred to, and give the system back what glibc keeps of it for later.

    glibc keeps freed memory where something that lives on lies behind it. A network is freed in a great many pieces:
    without this, one after the other would need as much as the largest two together. Elsewhere than on Linux with
    glibc nothing is given back beyond what the system's own allocator does.
    """
    gc.collect()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
