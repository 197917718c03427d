# A board with MicroPython and Wi-Fi that reports its temperature to firstline: save it as main.py. Here: a Pico W.
# A report is sent again until the server acknowledges or refuses it; no other is made meanwhile. None is lost while the
# board has power, but one may be there twice, if the server went away before its ACK.
import machine, network, socket, time

WIFI = "my-network", "my-password"
SERVER = "192.168.1.10", 9090
TOKEN = ""  # Where the server asks for one.
EVERY_S = 60
PASSING = "shutting-down", "journal-failed", "print-failed", "no-handler"

def report():  # From the sensor in the processor. Hot is urgent.
    celsius = 27 - (machine.ADC(4).read_u16() * 3.3 / 65535 - 0.706) / 0.001721
    return "/%d %.1f C" % (9 if celsius > 60 else 1, celsius)

def try_once(line):  # On a connection of its own. Returns the reply.
    connection = socket.socket()
    try:
        connection.settimeout(75)  # Handlers: 30 s of waiting, 30 s of work.
        connection.connect(socket.getaddrinfo(*SERVER)[0][-1])
        # Line 1 is the token, or blank, which gets no reply; line 2 is the report; at /quit the server closes.
        connection.write("%s\n%s\n/quit\n" % (TOKEN and "/auth " + TOKEN, line))
        reply = connection.readline()
        while reply and reply[:6] not in (b"ACK 2 ", b"NAK 2 ", b"ERR 0 ", b"ERR 1 "):
            reply = connection.readline()
        return reply.decode().strip() or "the connection has ended"
    except OSError as problem:
        return "no connection: %r" % problem
    finally:
        connection.close()

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect(*WIFI)  # It takes some seconds, and connects again by itself.
while True:
    line, reply = report(), ""
    while reply[:3] not in ("ACK", "NAK") or reply[6:] in PASSING:
        reply = try_once(line)
        print(line, "->", reply)
        time.sleep(EVERY_S if reply[:3] == "ACK" else 1)
