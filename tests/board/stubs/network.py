"""A Wi-Fi of one network."""

STA_IF = 0


class WLAN:
    def __init__(self, which):
        self._joined = False

    def active(self, on):
        pass

    def connect(self, ssid, key):
        self._joined = (ssid, key) == ("garden", "secret")
        print("joining", ssid)

    def isconnected(self):
        return self._joined
