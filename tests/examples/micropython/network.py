# A stand-in for the Pico's Wi-Fi, which is always connected.
STA_IF = 0


class WLAN:
    def __init__(self, interface):
        assert interface == STA_IF

    def active(self, is_active):
        assert is_active

    def connect(self, name, password):
        assert name and password
