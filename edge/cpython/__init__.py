"""What only a Linux edge has: worker processes, the ctypes binding, the command. Never on a board."""
