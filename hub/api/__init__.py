"""The REST API: one module a noun. It parses, asks the runtime, and prints; it decides nothing."""
