#!/usr/bin/env python3
"""Processes messages of firstline in one program that keeps its state. Needs: Python 3.6, and a server with --handle.

    firstline handle raspberrypi -- ./handler.py
    firstline send raspberrypi "add 3"                        prints: 17 = the sum is 3

It writes READY 1, then reads lines TASK K pP FROM TEXT, and answers each with ok, no or later and a text. An answer is
one line, and must be flushed. What else it has to say goes to standard error.
"""
import re
import sys

total = 0


def unescape(text):
    """The bytes that the sender sent: \\\\ stands for a backslash, \\xNN for a byte that cannot be printed."""
    def byte(match):
        return b"\\" if match.group(0) == rb"\\" else bytes([int(match.group(1), 16)])
    return re.sub(rb"\\(?:\\|x([0-9a-f]{2}))", byte, text)


def handle(priority, sender, text):
    """Does what the text says. Returns the answer."""
    global total
    match = re.fullmatch(rb"add (-?[0-9]{1,9})", text)
    if not match:
        return "no not understood; there is: add NUMBER"
    total += int(match.group(1))
    return f"ok the sum is {total}"


print("READY 1", flush=True)
# Bytes: the encoding of text would depend on the locale.
for line in sys.stdin.buffer:
    _, _, priority, sender, *text = line.rstrip(b"\n").split(b" ", 4)
    print(handle(int(priority[1:]), sender.decode(), unescape(text[0] if text else b"")), flush=True)
