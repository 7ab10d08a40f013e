"""The link: how the hub and its devices hear each other."""
