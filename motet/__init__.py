"""What people type and import: the command `motet` (cli), the client (client), the demo."""
