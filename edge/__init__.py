"""The edge: runs WebAssembly tasks for a hub. MicroPython subset, all but edge.cpython."""
