"""The modules of the demo, so that it runs from an installed wheel; a test holds them equal to examples/."""

from base64 import b64decode

ADDITION = b64decode("AGFzbQEAAAABBwFgAn9/AX8DAgEABwgBBG1haW4AAAoJAQcAIAAgAWoL")
TOO_HOT = b64decode(
    "AGFzbQEAAAABBgFgAX8BfwIPAQRlZGdlBnNlbnNvcgAAAwIBAAcLAQd0b29faG90AAEKCwEJAEEAEAAgAEoLACcEbmFtZQEJAQAGc2Vu"
    "c29yAhUCAAEAB2NoYW5uZWwBAQAFbGltaXQ="
)
TRAP = b64decode(
    "AGFzbQEAAAABEANgAAF/YAJ/fwF/YAF/AX8DBAMAAQIFAwEAAQcYAwRtYWluAAAGZGl2aWRlAAEEcGVlawACChUDAwAACwcAIAAg"
    "AW0LBwAgACgCAAsAGwRuYW1lAhQCAQIAAWEBAWICAQAHYWRkcmVzcw=="
)
