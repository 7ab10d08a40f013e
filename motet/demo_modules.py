"""The modules of the demo, so that it runs from an installed wheel; a test holds them equal to examples/."""

from base64 import b64decode

ADDITION = b64decode("AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL")
TRAP = b64decode(
    "AGFzbQEAAAABEANgAAF/YAJ/fwF/YAF/AX8DBAMAAQIFAwEAAQcYAwRtYWluAAAGZGl2aWRlAAEEcGVlawACChUDAwAACwcAIAAg"
    "AW0LBwAgACgCAAsAGwRuYW1lAhQCAQIAAWEBAWICAQAHYWRkcmVzcw=="
)
