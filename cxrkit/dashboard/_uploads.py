"""A viewer's file, put together from the pieces in which it comes; in memory, and never beyond a page's limits."""

from cxrkit import words


class Uploads:
    """Holds at most one unfinished file.

    Attributes:
        max_bytes: that a file may have.
    """

    def __init__(self, max_bytes: int) -> None:
        """Build it.

        Args:
            max_bytes: that a file may have.
        """
        self.max_bytes = max_bytes
        self._id: str | None = None
        self._size = 0
        self._data = bytearray()

    def take(self, upload: str, size: int, offset: int, piece: bytes | memoryview) -> bytes | None:
        """Take a piece.

        Args:
            upload: names the file; another name than before gives up what was unfinished.
            size: bytes that the whole file has.
            offset: where the piece belongs; pieces come in their order.
            piece: the bytes.
        Returns:
            The whole file once it is there, else None.
        Raises:
            ValueError: a size beyond the limit, or a piece that does not follow.
        """
        if not 0 <= size <= self.max_bytes:
            self._forget()
            raise ValueError(f"a file may have {self.max_bytes} bytes; this one has {size}.")
        if offset == 0:
            self._id, self._size, self._data = upload, size, bytearray()
        if (upload, size, offset) != (self._id, self._size, len(self._data)) or offset + len(piece) > size:
            self._forget()
            raise words.WordedError("refused.pieces")
        self._data += piece
        if len(self._data) < size:
            return None
        whole = bytes(self._data)
        self._forget()
        return whole

    def _forget(self) -> None:
        self._id, self._size, self._data = None, 0, bytearray()
