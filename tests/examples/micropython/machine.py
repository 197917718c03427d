# A stand-in for the Pico's ADC: a reading is the next number on standard input; at its end, the program ends.
import sys


class ADC:
    def __init__(self, channel):
        assert channel == 4

    def read_u16(self):
        reading = sys.stdin.readline()
        if not reading:
            sys.exit()
        return int(reading)
