"""Where the hub keeps what it must not lose: documents in a journal, TinyDB on top of it, and blobs."""
