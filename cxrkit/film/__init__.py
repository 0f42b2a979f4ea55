"""The film room."""
