"""The face of Motet: the command `motet` and the client."""
