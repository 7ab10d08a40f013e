"""`motet check`: whether a hub can run here and what it keeps is whole, with a remedy for what is not."""
