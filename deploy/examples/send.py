#!/usr/bin/env python3
"""Sends each line of standard input to firstline, one by one, and prints OK whenever the next may come. Needs: Python 3.6.
    echo '/urgent smoke' | send.py HOST [PORT]      as you would type it into nc; exit 1: some were refused, it says which
A line is kept until its reply is here, and sent again for as long as the server is away: never lost, but it may be there
twice, if the server went away before it could say ACK. A token: TOKEN=... in the environment. With "once" behind the port
it tries once and prints LATER when that fails, for a caller that sends the line again itself, as rsyslog does."""
import os, socket, sys, time
PASSING = "shutting-down", "journal-failed", "print-failed", "no-handler"
class Sender:
    def __init__(self, host, port=9090, once="", token=os.environ.get("TOKEN")):
        self.address, self.once, self.token, self.stream = (host, int(port)), once, token, None
    def try_once(self, line):
        if self.stream is None:
            with socket.create_connection(self.address, timeout=75) as connection:  # Above what handlers take.
                self.stream, self.number = connection.makefile("rwb"), 1
            self.stream.write(f"/auth {self.token}\n".encode() if self.token else b"\n")  # A blank line gets no reply.
        self.number += 1
        self.stream.write(line + b"\n")
        self.stream.flush()
        for reply in map(bytes.decode, self.stream):
            word, number, reason = (reply.split() + [""])[:3]
            if f"{word} {number}" in ("ERR 0", "ERR 1") or reason in PASSING:
                raise OSError(reply.strip())  # Another try may end differently.
            if word in ("ACK", "NAK", "OK", "ERR") and number == str(self.number): return reply.strip()
        raise OSError("the connection has ended")
    def send(self, line):  # Bytes without LF, and not blank. Tries until there is a reply, and returns it.
        while True:
            try: return self.try_once(line)
            except OSError as problem: print(f"send.py: not sent yet: {problem}", file=sys.stderr, flush=True)
            self.stream = None  # Connect again.
            if self.once: return "LATER"
            time.sleep(1)
if __name__ == "__main__":
    sender, status = Sender(*(sys.argv[1:] or sys.exit("usage: send.py HOST [PORT [once]], lines on standard input"))), 0
    print("OK", flush=True)
    for line in (line.rstrip(b"\r\n") for line in sys.stdin.buffer):
        reply = sender.send(line) if line else "OK"
        if reply[:3] in ("NAK", "ERR"): status = print(f"send.py: {reply}: {line}", file=sys.stderr, flush=True) or 1
        print(reply if reply == "LATER" else "OK", flush=True)
    sys.exit(status)
