"""A viewer's file, assembled in memory from the pieces that the browser sends, within the size limit."""

from cxrkit import words


class Uploads:
    """Assembles one file at a time, of at most `max_bytes`."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        #: Name and size of the file that arrives, and the bytes that are there.
        self._file: tuple[str, int] | None = None
        self._data = bytearray()

    def take(self, upload: str, size: int, offset: int, piece: bytes | memoryview) -> bytes | None:
        """Add a piece, and return the whole file when it is complete.

        Args:
            upload: identifies the file; a new one replaces an unfinished one.
            size, offset: bytes of the whole file, and those before the piece.
            piece: the bytes.
        Raises:
            ValueError: a size over the limit, or a piece out of order.
        """
        if not 0 <= size <= self.max_bytes:
            self._forget()
            raise ValueError(f"a file may have at most {self.max_bytes} bytes; got {size}. Export it smaller.")
        if offset == 0:
            self._file, self._data = (upload, size), bytearray()
        if (upload, size) != self._file or offset != len(self._data) or offset + len(piece) > size:
            self._forget()
            raise words.WordedError("refused.pieces")
        self._data += piece
        if len(self._data) < size:
            return None
        whole = bytes(self._data)
        self._forget()
        return whole

    def _forget(self) -> None:
        self._file, self._data = None, bytearray()
