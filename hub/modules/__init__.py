"""What happens to an uploaded module before a device may run it."""
